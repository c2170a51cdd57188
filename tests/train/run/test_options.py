"""Options of `run.yaml` in real runs: durations, streams, microbatches, components by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.train.config import RunConfig
from mixscale.train.run.training import train

LENGTH = 32


@pytest.fixture
def values(run_values: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    return run_values


def run(values: dict[str, Any], folder: Path, **changes: Any) -> RunRecord:
    return train(validate({**values, **changes}, RunConfig, "test"), folder)


def samples(record: RunRecord) -> dict[str, int]:
    return {name: tokens.seen_tokens // LENGTH for name, tokens in record.domains.items()}


@pytest.mark.parametrize(
    ("duration", "batches"),
    [("3ba", 3), ("20sp", 3), ("1000tok", 4), ("1ep", 10)],
)
def test_a_run_ends_with_the_batch_that_reaches_its_duration(
    values: dict[str, Any], tmp_path: Path, duration: str, batches: int
) -> None:
    record = run(values, tmp_path / "run", max_duration=duration)
    assert record.seen_tokens == batches * 8 * LENGTH
    assert record.learning_curve[-1].tokens == record.seen_tokens


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (
            {"code": {"choose": 30}, "prose": {"choose": 20}, "tables": {"choose": 50}},
            {"code": 30, "prose": 20, "tables": 50},
        ),
        (
            {"code": {"repeat": 0.5}, "prose": {"repeat": 1}, "tables": {"repeat": 2}},
            {"code": 100, "prose": 120, "tables": 80},
        ),
    ],
)
def test_streams_by_choice_or_repetition(
    values: dict[str, Any],
    tmp_path: Path,
    weights: dict[str, dict[str, float]],
    expected: dict[str, int],
) -> None:
    dataset = values["train_loader"]["dataset"]
    del dataset["epoch_size"]
    for name, stream in dataset["streams"].items():
        del stream["proportion"]
        stream |= weights[name]
    record = run(values, tmp_path / "run", max_duration="1ep")
    assert samples(record) == expected
    assert record.domains["tables"].unique_tokens == 40 * LENGTH


def test_remote_streams_are_the_same_run(values: dict[str, Any], tmp_path: Path) -> None:
    expected = run(values, tmp_path / "local")
    for name, stream in values["train_loader"]["dataset"]["streams"].items():
        stream["remote"] = f"file://{stream['local']}"
        stream["local"] = str(tmp_path / "cache" / name)
    record = run(values, tmp_path / "remote")
    assert record.evaluation == expected.evaluation
    assert record.domains == expected.domains
    assert (tmp_path / "cache" / "code" / "train" / "shard.00000.mds").is_file()


@pytest.mark.parametrize("remote", ["ftp://host/code", "/nowhere/code"])
def test_a_place_that_cannot_be_read_is_named(
    values: dict[str, Any], tmp_path: Path, remote: str
) -> None:
    values["train_loader"]["dataset"]["streams"]["code"] |= {
        "remote": remote,
        "local": str(tmp_path / "cache"),
    }
    with pytest.raises(UserError, match=f"remote: {remote}"):
        run(values, tmp_path / "run")


@pytest.mark.parametrize("masked", [False, True])
def test_microbatches_do_not_change_the_result(
    values: dict[str, Any], masked_model: dict[str, Any], tmp_path: Path, masked: bool
) -> None:
    if masked:
        values |= masked_model
    whole = run(values, tmp_path / "whole")
    split = run(values, tmp_path / "split", device_train_microbatch_size=3)
    for name, loss in split.evaluation.items():
        assert loss.loss_nats == pytest.approx(whole.evaluation[name].loss_nats, abs=2e-4)


def test_components_by_name(values: dict[str, Any], tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    record = run(
        values,
        tmp_path / "run",
        algorithms={
            "ema": {"half_life": "5ba"},
            "low_precision_layernorm": None,
            "gradient_clipping": {"clipping_type": "norm", "clipping_threshold": 1.0},
        },
        callbacks={
            "lr_monitor": None,
            "speed_monitor": {"window_size": 2},
            "optimizer_monitor": None,
            "early_stopper": {
                "monitor": "TokenLoss",
                "dataloader_label": "code",
                "patience": "50ba",
            },
        },
        loggers={"file": {"filename": str(log)}},
    )
    assert record.status == "finished"
    text = log.read_text()
    assert "lr-DecoupledAdamW" in text
    assert "throughput/tokens_per_sec" in text
    assert "metrics/code/TokenLoss" in text


@pytest.mark.slow
def test_a_compiled_model(values: dict[str, Any], tmp_path: Path) -> None:
    """Also its export, whose names must not carry the compiler's prefix."""
    expected = run(values, tmp_path / "plain")
    record = run(
        values,
        tmp_path / "run",
        compile_config={},
        callbacks={"hf_checkpointer": {"save_folder": str(tmp_path)}},
    )
    for name, loss in record.evaluation.items():
        assert loss.loss_nats == pytest.approx(expected.evaluation[name].loss_nats, abs=1e-3)
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "huggingface" / "ba10" / "model.safetensors")
    assert "transformer.wte.weight" in weights
