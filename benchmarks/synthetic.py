"""A shard set of random tokens, for timings that need no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from streaming import MDSWriter
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

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
    for domain in DOMAINS:
        _write(root / domain / "train", rng, vocabulary, length, samples // len(DOMAINS))
        _write(root / domain / "validation", rng, vocabulary, length, 32)
    words = {f"w{number}": number for number in range(vocabulary)}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), eos_token="w0"
    ).save_pretrained(root / "tokenizer")
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
) -> None:
    dtype = "uint16" if vocabulary <= 2**16 else "uint32"
    with MDSWriter(out=str(folder), columns={"tokens": f"ndarray:{dtype}:{length}"}) as writer:
        for _ in range(samples):
            writer.write({"tokens": rng.integers(0, vocabulary, length).astype(dtype)})
