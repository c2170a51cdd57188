"""Runs that go wrong: the state in the record, the reason, the way out."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mixscale.contracts.config import validate
from mixscale.contracts.run_record import read_record
from mixscale.train.config import RunConfig
from mixscale.train.run.failures import failure_of
from mixscale.train.run.training import train


@pytest.fixture
def own_values(run_values: dict[str, Any], shardset: Path, tmp_path: Path) -> dict[str, Any]:
    """A run over a copy of the shard set, which a test may damage."""
    torch.set_num_threads(1)
    own = tmp_path / "own"
    shutil.copytree(shardset, own)
    for name, stream in run_values["train_loader"]["dataset"]["streams"].items():
        stream["local"] = str(own / name)
    return run_values


def shard(tmp_path: Path) -> Path:
    return tmp_path / "own" / "prose" / "train" / "shard.00000.mds"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_missing_shard(own_values: dict[str, Any], tmp_path: Path, workers: int) -> None:
    shard(tmp_path).unlink()
    own_values["train_loader"]["num_workers"] = workers
    record = train(validate(own_values, RunConfig, "test"), tmp_path / "run")
    assert record.status == "data_error"
    assert record.error is not None
    assert record.error.startswith("domain 'prose': cannot read ")
    assert "shard.00000.mds" in record.error
    assert "mixscale verify" in record.error
    assert record.evaluation == {}
    assert read_record(tmp_path / "run" / "result.json") == record
    assert (tmp_path / "run" / "run.yaml").is_file()


def test_a_missing_shard_is_no_early_end(own_values: dict[str, Any], tmp_path: Path) -> None:
    """Streaming ends the epoch quietly when its threads fail; that must not look like success."""
    shard(tmp_path).unlink()
    config = validate(own_values | {"max_duration": "1ep"}, RunConfig, "test")
    assert train(config, tmp_path / "run").status == "data_error"


def test_a_truncated_shard(own_values: dict[str, Any], tmp_path: Path) -> None:
    content = shard(tmp_path).read_bytes()
    shard(tmp_path).write_bytes(content[: len(content) // 2])
    record = train(validate(own_values, RunConfig, "test"), tmp_path / "run")
    assert record.status == "data_error"
    assert record.error is not None
    assert f"the file has {len(content) // 2} bytes" in record.error


def test_tokens_outside_the_vocabulary(own_values: dict[str, Any], tmp_path: Path) -> None:
    content = shard(tmp_path).read_bytes()
    shard(tmp_path).write_bytes(content[:-64] + b"\xff" * 64)
    own_values["train_loader"]["dataset"]["epoch_size"] = 480
    record = train(
        validate(own_values | {"max_duration": "480sp"}, RunConfig, "test"), tmp_path / "run"
    )
    assert record.status == "data_error"
    assert record.error is not None
    assert "prose" in record.error
    assert "vocabulary of 64; restore the file" in record.error


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Leave this process half a gigabyte more than it has."""
    (line,) = [row for row in Path("/proc/self/status").read_text().splitlines() if "VmSize" in row]
    taken = int(line.split()[1]) * 1024
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**29, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_out_of_memory_on_a_cpu(
    run_values: dict[str, Any], tmp_path: Path, little_memory: None
) -> None:
    """The logits of a batch, 8 x 32 x 1,000,000 numbers, do not fit."""
    run_values["model"]["config_overrides"]["vocab_size"] = 1_000_000
    record = train(validate(run_values, RunConfig, "test"), tmp_path / "run")
    assert record.status == "out_of_memory"
    assert record.error is not None
    assert "device_train_microbatch_size is 8 here" in record.error
    assert record.parameters is not None
    assert record.parameters > 16_000_000
    assert read_record(tmp_path / "run" / "result.json") == record


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate"
                     " memory: you tried to allocate 8 bytes."),
    ],
)  # fmt: skip
def test_errors_that_mean_out_of_memory(run_values: dict[str, Any], error: Exception) -> None:
    config = validate(run_values | {"device_train_microbatch_size": 4}, RunConfig, "test")
    failure = failure_of(error, config)
    assert failure is not None
    assert failure[0] == "out_of_memory"
    assert "device_train_microbatch_size is 4 here" in failure[1]


def test_other_errors_stay_what_they_are(run_values: dict[str, Any]) -> None:
    config = validate(run_values, RunConfig, "test")
    assert failure_of(RuntimeError("shapes cannot be multiplied"), config) is None
