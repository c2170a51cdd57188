"""Architectures by their transformers config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.train.config import ModelConfig, RunConfig
from mixscale.train.run.model import load_tokenizer, model_config
from mixscale.train.run.training import train

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
         "num_attention_heads": 2}  # fmt: skip


def model(name: str, **overrides: Any) -> dict[str, Any]:
    return {
        "name": "hf_causal_lm",
        "pretrained_model_name_or_path": name,
        "pretrained": False,
        "config_overrides": overrides,
    }


@pytest.mark.parametrize(
    ("chosen", "embeddings", "others"),
    [
        # Tied embeddings and positions; a block of attention, MLP, two layer norms; the last norm.
        (model("gpt2", n_embd=16, n_layer=1, n_head=2), 64 * 16 + 32 * 16, 3280 + 32),
        # Two embeddings; four projections, three of the MLP and two norms; the last norm.
        (
            model("llama", **SMALL, num_key_value_heads=2),
            2 * 64 * 16,
            4 * 16 * 16 + 3 * 16 * 32 + 2 * 16 + 16,
        ),
        (model("gpt_neox", **SMALL), 2 * 64 * 16, 4 * (16 * 16 + 16) + 1072 + 4 * 16 + 32),
    ],
)
def test_it_trains(
    run_values: dict[str, Any],
    tmp_path: Path,
    chosen: dict[str, Any],
    embeddings: int,
    others: int,
) -> None:
    torch.set_num_threads(1)
    config = validate(run_values | {"model": chosen}, RunConfig, "test")
    record = train(config, tmp_path / "run")
    assert record.status == "finished"
    assert record.parameters == embeddings + others
    assert record.non_embedding_parameters == others
    assert all(loss.loss_nats < 4.5 for loss in record.evaluation.values())


@pytest.mark.parametrize(
    "chosen",
    [
        model("mpt", d_model=16, n_layers=1, n_heads=2),
        model("bloom", hidden_size=16, n_layer=1, n_head=2),
        model("mamba", hidden_size=16, num_hidden_layers=1),
    ],
    ids=lambda chosen: chosen["pretrained_model_name_or_path"],
)
def test_a_model_without_pytorchs_attention_trains(
    run_values: dict[str, Any], tmp_path: Path, chosen: dict[str, Any]
) -> None:
    torch.set_num_threads(1)
    config = validate(run_values | {"model": chosen}, RunConfig, "test")
    assert train(config, tmp_path / "run").status == "finished"


def test_values_derived_from_an_override_follow_it(run_values: dict[str, Any]) -> None:
    tokenizer = load_tokenizer(
        validate(run_values, RunConfig, "test").tokenizer,
    )
    made = model_config(
        ModelConfig.model_validate(model("llama", **SMALL, num_key_value_heads=2)), 32, tokenizer
    )
    assert made.head_dim == 8
    assert made.vocab_size == 64
    assert made.max_position_embeddings == 32


def test_dropout_is_off_unless_asked_for(run_values: dict[str, Any]) -> None:
    tokenizer = load_tokenizer(validate(run_values, RunConfig, "test").tokenizer)
    made = model_config(
        ModelConfig.model_validate(model("gpt2", resid_pdrop=0.2)), 32, tokenizer
    ).to_dict()
    assert made["resid_pdrop"] == 0.2
    assert made["embd_pdrop"] == made["attn_pdrop"] == 0.0


def test_positions_after_padding_need_a_padding_token(run_values: dict[str, Any]) -> None:
    config = validate(run_values, RunConfig, "test")
    roberta = ModelConfig.model_validate(model("roberta", **SMALL))
    with pytest.raises(UserError, match=r"kwargs: \{pad_token: <pad>\}"):
        model_config(roberta, 32, load_tokenizer(config.tokenizer))
