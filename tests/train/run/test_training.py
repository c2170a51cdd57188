"""One run: real training of a tiny model on real shards."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streaming import LocalDataset
from torch.nn import functional
from transformers import AutoModelForCausalLM

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord, read_record
from mixscale.train.config import RunConfig, load_run_config
from mixscale.train.data.dataset import SAMPLE_ID
from mixscale.train.data.loaders import dataset_of, train_loader
from mixscale.train.run.model import build_model, load_tokenizer
from mixscale.train.run.run_id import content_of, run_id
from mixscale.train.run.training import train


def make(values: dict[str, Any], **changes: Any) -> RunConfig:
    return validate({**values, **changes}, RunConfig, "test")


@pytest.fixture
def single_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def record(run_values: dict[str, Any], tmp_path: Path, single_thread: None) -> RunRecord:
    return train(make(run_values), tmp_path / "first")


def test_counts_what_was_seen(record: RunRecord) -> None:
    assert record.status == "finished"
    assert record.seen_tokens == record.token_budget == 80 * 32
    assert {name: tokens.seen_tokens for name, tokens in record.domains.items()} == {
        "code": 40 * 32,
        "prose": 20 * 32,
        "tables": 20 * 32,
    }
    assert record.domains["tables"].epochs == 20 / 40
    assert record.domains["tables"].unique_tokens == 20 * 32


def test_record_and_config_are_written(record: RunRecord, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    assert read_record(folder / "result.json") == record
    assert load_run_config(folder / "run.yaml").max_duration == "2560tok"
    assert sorted(path.name for path in folder.iterdir()) == [
        "evaluations",
        "result.json",
        "run.yaml",
    ]


def test_the_same_config_gives_the_same_bits(
    record: RunRecord, run_values: dict[str, Any], tmp_path: Path
) -> None:
    again = train(make(run_values), tmp_path / "second")
    assert again.evaluation == record.evaluation


def test_repeats_are_counted_as_epochs(
    run_values: dict[str, Any], tmp_path: Path, single_thread: None
) -> None:
    streams = run_values["train_loader"]["dataset"]["streams"]
    for name, share in {"code": 0.0, "prose": 0.0, "tables": 1.0}.items():
        streams[name]["proportion"] = share
    record = train(make(run_values), tmp_path / "run")
    tables = record.domains["tables"]
    assert (tables.seen_tokens, tables.unique_tokens) == (80 * 32, 40 * 32)
    assert tables.epochs == 2.0
    assert record.domains["code"].seen_tokens == record.domains["code"].unique_tokens == 0


def test_the_loss_is_the_models_own(
    run_values: dict[str, Any], tmp_path: Path, single_thread: None, shardset: Path
) -> None:
    """Evaluate an untrained model by hand: a run with learning rate 0 must agree."""
    config = make(run_values, optimizer={"name": "decoupled_adamw", "lr": 0.0})
    record = train(config, tmp_path / "run")
    from composer.utils import reproducibility

    reproducibility.seed_all(config.seed)
    model = build_model(config.model, config.max_seq_len, load_tokenizer(config.tokenizer)).model
    samples = LocalDataset(str(shardset / "prose"), split="validation")
    tokens = torch.from_numpy(np.stack([row["tokens"] for row in samples]).astype(np.int64))
    with torch.no_grad():
        logits = model.eval()(input_ids=tokens).logits
    losses = functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none"
    ).mean(dim=1)
    measured = record.evaluation["prose"]
    assert measured.loss_nats == pytest.approx(losses.mean().item(), abs=1e-5)
    assert measured.standard_error == pytest.approx(
        losses.std().item() / math.sqrt(len(losses)), rel=1e-3
    )
    assert measured.perplexity == pytest.approx(math.exp(measured.loss_nats))
    # Four bytes a token, as the shard set states.
    assert measured.bits_per_byte == pytest.approx(measured.loss_nats / math.log(2) / 4)


def test_training_learns(run_values: dict[str, Any], tmp_path: Path, single_thread: None) -> None:
    run_values["train_loader"]["dataset"]["epoch_size"] = 400
    config = make(
        run_values,
        max_duration=f"{400 * 32}tok",
        eval_interval=f"{100 * 32}tok",
        global_train_batch_size=10,
    )
    record = train(config, tmp_path / "run")
    assert [point.tokens for point in record.learning_curve] == [3200, 6400, 9600, 12800]
    first, last = record.learning_curve[0].losses, record.learning_curve[-1].losses
    assert all(last[domain] < first[domain] for domain in last)
    assert last == {name: loss.loss_nats for name, loss in record.evaluation.items()}


def test_a_diverged_run_has_a_record(
    run_values: dict[str, Any], tmp_path: Path, single_thread: None
) -> None:
    config = make(run_values, optimizer={"name": "decoupled_adamw", "lr": 1e30}, algorithms={})
    record = train(config, tmp_path / "run")
    assert record.status == "diverged"
    assert record.error is not None
    assert "batch" in record.error
    assert record.evaluation == {}
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "diverged"


def test_plain_streaming_order_keeps_the_proportions(
    run_values: dict[str, Any], tmp_path: Path, single_thread: None
) -> None:
    run_values["train_loader"]["dataset"]["shuffle_algo"] = "py1e"
    record = train(make(run_values), tmp_path / "run")
    assert record.domains["code"].seen_tokens == 40 * 32


def sample_ids(config: RunConfig) -> list[int]:
    spec = train_loader(config, load_tokenizer(config.tokenizer))
    dataset = dataset_of(spec)
    return [int(i) for batch in spec.dataloader for i in batch[SAMPLE_ID]][: dataset.epoch_size]


def test_runs_are_paired(run_values: dict[str, Any]) -> None:
    """More of one domain leaves the samples of the others, and their order, as they were."""
    base = sample_ids(make(run_values))
    streams = run_values["train_loader"]["dataset"]["streams"]
    for name, count in {"code": 120, "prose": 20, "tables": 20}.items():
        streams[name]["proportion"] = count / 160
    run_values["train_loader"]["dataset"]["epoch_size"] = 160
    more = sample_ids(make(run_values))

    def of(ids: list[int], low: int, high: int) -> list[int]:
        return [number for number in ids if low <= number < high]

    assert of(more, 200, 320) == of(base, 200, 320)
    assert of(more, 320, 360) == of(base, 320, 360)
    assert of(more, 0, 200)[:40] == of(base, 0, 200)
    assert len(of(more, 0, 200)) == 120


def test_run_id_follows_what_matters(run_values: dict[str, Any], shardset: Path) -> None:
    config = make(run_values)
    content = content_of(config)
    assert run_id(config, content) == run_id(make(run_values, progress_bar=True), content)
    assert run_id(config, content) != run_id(make(run_values, seed=2), content)
    assert run_id(config, content) != run_id(config, "other data")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": {"name": "adamx"}}, "unknown value 'adamx'; expected one of .*'adamw'"),
        ({"optimizer": {"name": "adamw", "learning": 1}}, "learning.*arguments are"),
        ({"max_seq_len": 16}, "max_seq_len: 16, but the shards' samples have 32 tokens"),
        ({"callbacks": {"lr_monitr": {}}}, "Did you mean 'lr_monitor'"),
        (
            {"tokenizer": {"name": "nowhere/tokenizer"}},
            "tokenizer.name: cannot load 'nowhere/tokenizer'",
        ),
    ],
)
def test_what_is_not_there_is_said(
    run_values: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(make(run_values, **changes), tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_missing_stream_is_named(run_values: dict[str, Any], tmp_path: Path) -> None:
    run_values["train_loader"]["dataset"]["streams"]["code"]["local"] = str(tmp_path / "gone")
    with pytest.raises(UserError, match=r"stream 'code': .*gone/train/index\.json is missing"):
        train(make(run_values), tmp_path / "run")


def test_a_trained_model_is_an_ordinary_transformers_model(
    run_values: dict[str, Any], tmp_path: Path, single_thread: None
) -> None:
    """A checkpoint folder made by transformers can be the start of a run."""

    config = make(run_values)
    tokenizer = load_tokenizer(config.tokenizer)
    build_model(config.model, 32, tokenizer).model.save_pretrained(tmp_path / "model")
    model = {
        "name": "hf_causal_lm",
        "pretrained_model_name_or_path": str(tmp_path / "model"),
        "pretrained": True,
    }
    record = train(make(run_values, model=model), tmp_path / "run")
    assert record.status == "finished"
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert record.parameters == loaded.num_parameters()
