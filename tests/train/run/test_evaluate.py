"""The losses of models that are there already."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.train.config import RunConfig
from mixscale.train.evaluate.model import evaluate_model
from mixscale.train.run.training import train


@pytest.fixture
def trained(run_values: dict[str, Any], tmp_path: Path) -> RunRecord:
    """A run that leaves a checkpoint and a Hugging Face folder."""
    torch.set_num_threads(1)
    values = {
        **run_values,
        "save_folder": str(tmp_path / "checkpoints"),
        "save_interval": "1dur",
        "callbacks": {"hf_checkpointer": {"save_folder": str(tmp_path)}},
    }
    return train(validate(values, RunConfig, "test"), tmp_path / "run")


def test_the_same_numbers_as_the_run_itself(
    trained: RunRecord, shardset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "huggingface" / "ba10"
    for source in (folder, tmp_path / "checkpoints", tmp_path / "run"):
        losses = evaluate_model(source, shardset, batch_size=8)
        assert set(losses) == set(trained.evaluation)
        for domain, loss in losses.items():
            expected = trained.evaluation[domain]
            assert loss.loss_nats == pytest.approx(expected.loss_nats, abs=1e-5)
            assert loss.bits_per_byte == pytest.approx(expected.bits_per_byte)
            assert loss.tokens == expected.tokens


def test_one_domain_and_some_tokens(trained: RunRecord, shardset: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mixscale", "evaluate", str(tmp_path / "huggingface" / "ba10"),
         str(shardset), "--domain", "code", "--tokens-per-domain", "256", "--batch-size", "4",
         "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (loss,) = json.loads(done.stdout).values()
    assert loss["tokens"] == 8 * 31


def test_what_cannot_be_evaluated_is_refused(
    trained: RunRecord, shardset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "huggingface" / "ba10"
    with pytest.raises(UserError, match=r"\['cod'\] are no domains of the shard set"):
        evaluate_model(folder, shardset, domains=["cod"])
    with pytest.raises(UserError, match="no samples in the split 'test'"):
        evaluate_model(folder, shardset, split="test")
    with pytest.raises(UserError, match="no checkpoint"):
        evaluate_model(tmp_path, shardset)
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"w7"', '"other"'))
    with pytest.raises(UserError, match=r"its tokenizer .* is not the shard set's"):
        evaluate_model(folder, shardset)
