"""How runs end, and options that were ignored once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord, read_record
from mixscale.train.config import RunConfig
from mixscale.train.data.loaders import train_loader
from mixscale.train.run.from_file import train_file
from mixscale.train.run.model import load_tokenizer, model_config
from mixscale.train.run.training import train

LENGTH = 32


@pytest.fixture
def values(run_values: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    return run_values


def run(values: dict[str, Any], folder: Path, **changes: Any) -> RunRecord:
    return train(validate({**values, **changes}, RunConfig, "test"), folder)


@pytest.mark.parametrize("duration", [f"{80 * LENGTH}tok", "80sp", "10ba", "1ep"])
def test_a_run_that_a_callback_ends_is_not_finished(
    values: dict[str, Any], tmp_path: Path, duration: str
) -> None:
    stopper = {"threshold_stopper": {"monitor": "TokenLoss", "threshold": 100.0,
                                     "dataloader_label": "code"}}  # fmt: skip
    record = run(
        values, tmp_path / "run", callbacks=stopper, max_duration=duration, eval_interval="2ba"
    )
    assert record.status == "stopped"
    assert record.error is not None
    assert "threshold_stopper" in record.error
    assert 0 < record.seen_tokens < 80 * LENGTH == record.token_budget
    assert record.evaluation == {}
    assert read_record(tmp_path / "run" / "result.json") == record


def test_a_validation_loss_that_is_no_number(values: dict[str, Any], tmp_path: Path) -> None:
    """One batch whose loss is finite, and whose step is not."""
    record = run(
        values,
        tmp_path / "run",
        optimizer={"name": "sgd", "lr": 1e38},
        scheduler={"name": "constant"},
        algorithms={},
        max_duration="1ba",
    )
    assert record.status == "diverged"
    assert record.error is not None
    assert "validation loss of 'code' is " in record.error
    assert record.evaluation == {}
    assert record.learning_curve == ()


def test_a_validation_loss_whose_perplexity_is_beyond_numbers(
    values: dict[str, Any], tmp_path: Path
) -> None:
    record = run(
        values,
        tmp_path / "run",
        optimizer={"name": "sgd", "lr": 3e4},
        scheduler={"name": "constant"},
        algorithms={},
        max_duration="1ba",
    )
    assert record.status == "finished"
    assert max(loss.loss_nats for loss in record.evaluation.values()) > 710
    assert read_record(tmp_path / "run" / "result.json") == record


def test_evaluation_before_the_first_batch(values: dict[str, Any], tmp_path: Path) -> None:
    plain = run(values, tmp_path / "plain")
    record = run(values, tmp_path / "run", eval_first=True)
    assert [point.tokens for point in record.learning_curve] == [0, 80 * LENGTH]
    assert record.learning_curve[0].losses["code"] > record.learning_curve[1].losses["code"]
    assert record.evaluation == plain.evaluation


@pytest.mark.parametrize(("asked", "kept"), [(False, False), (True, True), (None, True)])
def test_workers_that_end_with_the_epoch(
    values: dict[str, Any], asked: bool | None, kept: bool
) -> None:
    values["train_loader"] |= {"num_workers": 1, "persistent_workers": asked}
    config = validate(values, RunConfig, "test")
    loader = train_loader(config, load_tokenizer(config.tokenizer)).dataloader
    assert getattr(loader, "persistent_workers") is kept  # noqa: B009 (not in its type)


@pytest.mark.parametrize("name", ["n_positions", "max_position_embeddings"])
def test_the_context_length_of_gpt2(values: dict[str, Any], name: str) -> None:
    values["model"]["config_overrides"][name] = 128
    config = validate(values, RunConfig, "test")
    made = model_config(config.model, config.max_seq_len, load_tokenizer(config.tokenizer))
    assert made.n_positions == 128
    values["model"]["config_overrides"] |= {"n_positions": 64, "max_position_embeddings": 128}
    config = validate(values, RunConfig, "test")
    with pytest.raises(UserError, match="are one setting of 'gpt2'"):
        model_config(config.model, config.max_seq_len, load_tokenizer(config.tokenizer))


def test_a_finished_record_stays(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    with path.open("w") as stream:
        YAML().dump(values | {"save_folder": str(tmp_path / "save")}, stream)
    lines: list[str] = []
    record, folder = train_file(path, report=lines.append)
    assert lines == []
    before = (folder / "result.json").stat().st_mtime_ns
    assert train_file(path, report=lines.append) == (record, folder)
    assert before == (folder / "result.json").stat().st_mtime_ns
    assert "has its record already; to run it again, remove" in lines[0]


@pytest.mark.parametrize("method", ["stratified", "per_stream", "device_per_stream"])
def test_paired_samples_in_composed_batches(
    values: dict[str, Any], tmp_path: Path, method: str
) -> None:
    """No sample of a domain comes twice before all have come once, whatever the composition.

    Each domain fills whole batches: Streaming drops what does not.
    """
    values["train_loader"]["dataset"] |= {"batching_method": method, "epoch_size": 64}
    record = run(values, tmp_path / "run", max_duration=f"{64 * LENGTH}tok")
    for name, tokens in record.domains.items():
        assert tokens.seen_tokens == tokens.unique_tokens, name
    assert record.seen_tokens == 64 * LENGTH
    assert record.domains["code"].seen_tokens == 32 * LENGTH
