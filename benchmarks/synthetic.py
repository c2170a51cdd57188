"""A shard set of random tokens, for timings that need no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from streaming import MDSWriter
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from mixscale.contracts.shardset import ShardSet, SplitSummary, TokenizerSummary, write_shardset

DOMAINS = ("a", "b", "c", "d")


def write_shards(root: Path, *, vocabulary: int, length: int, samples: int) -> dict[str, Any]:
    """Write four domains and a tokenizer.

    Args:
        root: A new folder.
        vocabulary: Number of tokens.
        length: Tokens in a sample.
        samples: Training samples in all; each domain also gets 32 for validation.

    Returns:
        The keys `max_seq_len`, `tokenizer`, `train_loader` and `eval_loader` of a `run.yaml`.
    """
    rng = np.random.default_rng(0)
    each = -(-samples // len(DOMAINS))
    domains: dict[str, Any] = {
        domain: {
            "train": _write(root / domain / "train", rng, vocabulary, length, each),
            "validation": _write(root / domain / "validation", rng, vocabulary, length, 32),
        }
        for domain in DOMAINS
    }
    words = {f"w{number}": number for number in range(vocabulary)}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), eos_token="w0"
    ).save_pretrained(root / "tokenizer")
    _write_summary(root, domains, vocabulary, length)
    share = 1 / len(DOMAINS)
    return {
        "max_seq_len": length,
        "tokenizer": {"name": str(root / "tokenizer")},
        "train_loader": {
            "dataset": {
                "streams": {
                    domain: {"local": str(root / domain), "split": "train", "proportion": share}
                    for domain in DOMAINS
                },
                "shuffle": True,
                "epoch_size": samples,
            }
        },
        "eval_loader": [
            {
                "label": domain,
                "dataset": {
                    "streams": {domain: {"local": str(root / domain), "split": "validation"}}
                },
            }
            for domain in DOMAINS
        ],
    }


def _write(
    folder: Path, rng: np.random.Generator, vocabulary: int, length: int, samples: int
) -> SplitSummary:
    dtype = "uint16" if vocabulary <= 2**16 else "uint32"
    with MDSWriter(out=str(folder), columns={"tokens": f"ndarray:{dtype}:{length}"}) as writer:
        for _ in range(samples):
            writer.write({"tokens": rng.integers(0, vocabulary, length).astype(dtype)})
    tokens = samples * length
    return SplitSummary(
        documents=samples, text_bytes=4 * tokens, tokens=tokens, samples=samples,
        remainder_tokens=0, shards=1, shard_bytes=0, sha256="none",
    )  # fmt: skip


def _write_summary(root: Path, domains: dict[str, Any], vocabulary: int, length: int) -> None:
    tokenizer = TokenizerSummary(
        path="tokenizer", vocab_size=vocabulary, eos_token="w0", eos_token_id=0, sha256="none"
    )
    write_shardset(
        root,
        ShardSet(
            mixscale_version="none", sequence_length=length, tokenizer=tokenizer, domains=domains,
            config={}, versions={}, content_sha256=f"random tokens {vocabulary} {length}",
        ),
    )  # fmt: skip
