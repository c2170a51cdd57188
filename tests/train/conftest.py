"""A small real shard set to train on: three domains that a tiny model can tell apart."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streaming import MDSWriter
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mixscale.contracts.shardset import ShardSet, SplitSummary, TokenizerSummary, write_shardset
from tests.train.object_store import ObjectStore

VOCABULARY, LENGTH = 64, 32
SAMPLES = {"code": 200, "prose": 120, "tables": 40}
VALIDATION_SAMPLES = 24


@pytest.fixture(scope="session")
def shardset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three domains of periodic token sequences, each with its own period."""
    root = tmp_path_factory.mktemp("shardset")
    domains: dict[str, Any] = {}
    for period, (domain, samples) in enumerate(SAMPLES.items(), start=3):
        domains[domain] = {
            "train": _write(root / domain / "train", samples, period, seed=period),
            "validation": _write(
                root / domain / "validation", VALIDATION_SAMPLES, period, seed=100 + period
            ),
        }
    _write_tokenizer(root / "tokenizer")
    write_shardset(
        root,
        ShardSet(
            mixscale_version="0",
            sequence_length=LENGTH,
            tokenizer=TokenizerSummary(
                path="tokenizer", vocab_size=VOCABULARY, eos_token="<|endoftext|>",
                eos_token_id=0, sha256="0",
            ),
            domains=domains,
            config={},
            versions={},
            content_sha256=hashlib.sha256(b"tests").hexdigest(),
        ),
    )  # fmt: skip
    return root


def _write(folder: Path, samples: int, period: int, seed: int) -> SplitSummary:
    rng = np.random.default_rng(seed)
    with MDSWriter(out=str(folder), columns={"tokens": f"ndarray:uint16:{LENGTH}"}) as writer:
        for _ in range(samples):
            pattern = rng.integers(1, VOCABULARY, period)
            tokens = np.tile(pattern, LENGTH // period + 1)[:LENGTH].astype(np.uint16)
            writer.write({"tokens": tokens})
    tokens = samples * LENGTH
    return SplitSummary(
        documents=samples, text_bytes=tokens * 4, tokens=tokens, samples=samples,
        remainder_tokens=0, shards=1, shard_bytes=0, sha256="0",
    )  # fmt: skip


def _write_tokenizer(folder: Path) -> None:
    words = {"<|endoftext|>": 0} | {f"w{i}": i for i in range(1, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(
        folder
    )


@pytest.fixture
def run_values(shardset: Path) -> dict[str, Any]:
    """The mapping of a `run.yaml` that trains in about a second."""
    shares = {"code": 0.5, "prose": 0.25, "tables": 0.25}
    return {
        "max_seq_len": LENGTH,
        "seed": 1,
        "model": {
            "name": "hf_causal_lm",
            "pretrained_model_name_or_path": "gpt2",
            "pretrained": False,
            "config_overrides": {"n_embd": 16, "n_layer": 1, "n_head": 2},
        },
        "tokenizer": {"name": str(shardset / "tokenizer")},
        "train_loader": {
            "dataset": {
                "streams": {
                    name: {"local": str(shardset / name), "split": "train", "proportion": share}
                    for name, share in shares.items()
                },
                "shuffle": True,
                "shuffle_algo": "paired",
                "shuffle_seed": 1,
                "epoch_size": 80,
            }
        },
        "eval_loader": [
            {
                "label": name,
                "dataset": {
                    "streams": {name: {"local": str(shardset / name), "split": "validation"}}
                },
            }
            for name in shares
        ],
        "optimizer": {"name": "decoupled_adamw", "lr": 0.01},
        "max_duration": f"{80 * LENGTH}tok",
        "global_train_batch_size": 8,
        "device_eval_batch_size": 8,
    }


@pytest.fixture
def masked_model(run_values: dict[str, Any]) -> dict[str, Any]:
    """What makes a run of `run_values` one of a tiny BERT."""
    return {
        "model": {
            "name": "hf_masked_lm",
            "pretrained_model_name_or_path": "bert",
            "pretrained": False,
            "config_overrides": {
                "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 2,
            },
        },
        "tokenizer": run_values["tokenizer"] | {"kwargs": {"mask_token": "<mask>"}},
    }  # fmt: skip


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    """An object store on this machine, empty at first."""
    server = ObjectStore()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
