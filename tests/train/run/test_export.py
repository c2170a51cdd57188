"""Models written as Hugging Face folders, and runs that start from one or from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streaming import LocalDataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.train.config import RunConfig
from mixscale.train.run.export import export_checkpoint
from mixscale.train.run.run_id import content_of, run_id
from mixscale.train.run.training import train


def make(values: dict[str, Any], **changes: Any) -> RunConfig:
    return validate({**values, **changes}, RunConfig, "test")


@pytest.fixture
def saved(run_values: dict[str, Any], tmp_path: Path) -> tuple[RunRecord, Path]:
    """A run that leaves a checkpoint and a Hugging Face folder."""
    torch.set_num_threads(1)
    config = make(
        run_values,
        save_folder=str(tmp_path / "save"),
        callbacks={"hf_checkpointer": {"save_folder": str(tmp_path / "save")}},
    )
    return train(config, tmp_path / "runs" / "first"), tmp_path / "save"


def loss_of(folder: Path, shardset: Path, domain: str) -> float:
    """Evaluate an exported model with transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    samples = LocalDataset(str(shardset / domain), split="validation")
    tokens = torch.from_numpy(np.stack([row["tokens"] for row in samples]).astype(np.int64))
    with torch.no_grad():
        return model(input_ids=tokens, labels=tokens).loss.item()


def test_an_exported_model_has_the_same_loss(
    saved: tuple[RunRecord, Path], shardset: Path, tmp_path: Path
) -> None:
    record, folder = saved
    by_callback = folder / "huggingface" / "ba10"
    assert sorted(path.name for path in by_callback.parent.iterdir()) == ["ba10"]
    expected = pytest.approx(record.evaluation["code"].loss_nats, abs=1e-5)
    assert loss_of(by_callback, shardset, "code") == expected
    assert len(AutoTokenizer.from_pretrained(by_callback)) == 64
    assert (by_callback / "model.safetensors").is_file()

    by_hand = tmp_path / "exported"
    assert export_checkpoint(tmp_path / "runs" / "first", by_hand).name == "latest-rank0.pt"
    assert loss_of(by_hand, shardset, "code") == expected
    assert len(AutoTokenizer.from_pretrained(by_hand)) == 64
    with pytest.raises(UserError, match="exported: exists already"):
        export_checkpoint(folder, by_hand)
    half = tmp_path / "half"
    export_checkpoint(folder, half, "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(half, dtype="auto").dtype == torch.bfloat16


def test_runs_start_from_what_was_saved(
    saved: tuple[RunRecord, Path], run_values: dict[str, Any], tmp_path: Path
) -> None:
    """With learning rate 0 the loss of the start is the loss of the end."""
    record, folder = saved
    frozen = run_values | {"optimizer": {"name": "decoupled_adamw", "lr": 0.0}}
    checkpoint = str(folder / "latest-rank0.pt")
    weights = make(frozen, load_path=checkpoint, load_weights_only=True)
    pretrained = make(
        frozen,
        model={
            "name": "hf_causal_lm",
            "pretrained_model_name_or_path": str(folder / "huggingface" / "ba10"),
            "pretrained": True,
        },
    )
    for name, config in {"weights": weights, "pretrained": pretrained}.items():
        started = train(config, tmp_path / name)
        assert started.seen_tokens == 80 * 32
        for domain, loss in started.evaluation.items():
            assert loss.loss_nats == pytest.approx(record.evaluation[domain].loss_nats, abs=1e-5)
    content = content_of(weights)
    ids = {run_id(config, content) for config in (make(frozen), weights, pretrained)}
    assert len(ids) == 3
    with pytest.raises(UserError, match=r"nothing is left to do.*load_weights_only: true"):
        train(make(run_values, load_path=checkpoint), tmp_path / "over")
    with pytest.raises(UserError, match=r"load_path: .*gone\.pt is missing"):
        train(make(run_values, load_path=str(tmp_path / "gone.pt")), tmp_path / "gone")


def test_a_run_is_another_when_the_model_it_starts_from_is(
    run_values: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "start.pt"
    path.write_bytes(b"one")
    config = make(run_values, load_path=str(path))
    before = run_id(config, content_of(config))
    moved = path.rename(tmp_path / "moved.pt")
    config = make(run_values, load_path=str(moved))
    assert run_id(config, content_of(config)) == before
    moved.write_bytes(b"two")
    assert run_id(config, content_of(config)) != before


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint .* is here"):
        export_checkpoint(tmp_path, tmp_path / "out")
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(UserError, match="not a Composer checkpoint"):
        export_checkpoint(tmp_path / "text.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()
