"""Mistakes in a run's config, wherever they surface: one message with key and value."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import LOG, RunRecord
from mixscale.train.config import RunConfig
from mixscale.train.run.from_file import train_file
from mixscale.train.run.training import train

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def values(run_values: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    return run_values


def run(values: dict[str, Any], folder: Path, **changes: Any) -> RunRecord:
    return train(validate({**values, **changes}, RunConfig, "test"), folder)


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "run.yaml"
    with path.open("w") as stream:
        YAML().dump(values, stream)
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithms": {"seq_length_warmup": {"duration": 0.5, "min_seq_length": 8,
                                               "max_seq_length": 32}}},
         r"algorithms\.seq_length_warmup: "),
        ({"algorithms": {"alibi": {"max_sequence_length": 32}}}, r"algorithms\.alibi: "),
        ({"algorithms": {"gated_linear_units": None}}, r"algorithms\.gated_linear_units: "),
        ({"algorithms": {"label_smoothing": {"smoothing": 0.1}}}, r"algorithms\.label_smoothing: "),
        ({"callbacks": {"early_stopper": {"monitor": "Nothing", "dataloader_label": "code",
                                          "patience": "1ba"}}},
         r"callbacks\.early_stopper: "),
        ({"optimizer": {"name": "decoupled_adamw", "lr": -1.0}}, "optimizer"),
        ({"scheduler": {"name": "cosine_with_warmup", "t_warmup": "5xyz"}}, "scheduler"),
    ],
)  # fmt: skip
def test_components_that_the_run_cannot_take(
    values: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        run(values, tmp_path / "run", **changes)


def test_the_traceback_of_a_translated_error_is_in_the_log(
    values: dict[str, Any], tmp_path: Path
) -> None:
    warmup = {"duration": 0.5, "min_seq_length": 8, "max_seq_length": 32}
    with pytest.raises(UserError, match=LOG):
        run(values, tmp_path / "run", algorithms={"seq_length_warmup": warmup})
    assert "Traceback" in (tmp_path / "run" / LOG).read_text()


@pytest.mark.parametrize("duration", ["3ba", "1ep"])
def test_fewer_samples_than_a_batch_that_is_dropped(
    values: dict[str, Any], tmp_path: Path, duration: str
) -> None:
    values["train_loader"] |= {"drop_last": True}
    with pytest.raises(UserError, match=r"train_loader\.drop_last: true .* 80 samples, a batch 96"):
        run(values, tmp_path / "run", global_train_batch_size=96, max_duration=duration)


def test_fewer_validation_samples_than_a_batch_that_is_dropped(
    values: dict[str, Any], tmp_path: Path
) -> None:
    values["eval_loader"][1] |= {"drop_last": True}
    with pytest.raises(UserError, match=r"eval_loader 'prose'\.drop_last: .* 24 samples"):
        run(values, tmp_path / "run", device_eval_batch_size=32)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("method", ["stratified", "per_stream", "device_per_stream"])
def test_streams_too_small_for_the_batching_method(
    values: dict[str, Any], tmp_path: Path, method: str, paired: bool
) -> None:
    dataset = values["train_loader"]["dataset"]
    dataset |= {"batching_method": method, "epoch_size": 80}
    if not paired:
        dataset["shuffle_algo"] = "py1e"
    for name, share in {"code": 0.97, "prose": 0.02, "tables": 0.01}.items():
        dataset["streams"][name]["proportion"] = share
    with pytest.raises(UserError, match=rf"batching_method: {method}.*(prose|tables)"):
        run(values, tmp_path / "run")


@pytest.mark.parametrize("precision", ["amp_bf16", "amp_fp16"])
def test_half_precision_without_a_gpu(
    values: dict[str, Any], tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    path = write(tmp_path, values | {"precision": precision})
    with pytest.raises(UserError, match=f"precision: {precision} needs a GPU"):
        train_file(path)
    with pytest.raises(UserError, match=r"fsdp_config: .* needs GPUs"):
        train_file(write(tmp_path, values | {"fsdp_config": {"sharding_strategy": "FULL_SHARD"}}))


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", "", "a\\b", "x" * 300])
def test_run_names_that_are_no_folder(values: dict[str, Any], tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"run_name: .* cannot name a folder"):
        train_file(write(tmp_path, values | {"run_name": name}))
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


@pytest.mark.parametrize("folder", ["save/{name}", "save/{run_name}"])
def test_save_folders_with_names_that_are_not_given(
    values: dict[str, Any], tmp_path: Path, folder: str
) -> None:
    with pytest.raises(UserError, match="save_folder: "):
        train_file(write(tmp_path, values | {"save_folder": folder}))


@pytest.mark.parametrize("scheme", ["s3", "gs", "oci", "azure", "hf"])
def test_object_stores_that_cannot_be_reached(
    values: dict[str, Any], tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    address = f"{scheme}://no-such-bucket/code"
    values["train_loader"]["dataset"] |= {"download_retry": 0, "download_timeout": 5}
    values["train_loader"]["dataset"]["streams"]["code"] |= {
        "remote": address,
        "local": str(tmp_path / "cache"),
    }
    with pytest.raises(UserError, match=address):
        run(values, tmp_path / "run")


FULL_DISK = """
import resource, sys
from mixscale.contracts.errors import UserError
from mixscale.train.run.from_file import train_file
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    train_file(sys.argv[1])
except UserError as error:
    print(error)
    sys.exit(2)
"""


def test_no_space_for_a_checkpoint(values: dict[str, Any], tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: both end a write half-way."""
    path = write(tmp_path, values | {"save_folder": str(tmp_path / "save")})
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), "20000"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stdout
    assert "free some space" in done.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 20000


def test_a_bug_stays_a_bug(values: dict[str, Any], tmp_path: Path) -> None:
    """What our own code raises is no mistake of the user's."""

    def listener(tokens: int) -> None:
        raise KeyError(tokens)

    config = validate(values, RunConfig, "test")
    with pytest.raises(KeyError):
        train(config, tmp_path / "run", listener=listener)
