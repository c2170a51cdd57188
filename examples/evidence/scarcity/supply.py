"""Cut the supply of the experiment out of a RedPajama sample: domains as unequal as RedPajama's.

    python -m examples.evidence.scarcity.supply ../shared/corpus/redpajama-mini out/scarcity/text
    mixscale build examples/evidence/scarcity/corpus.yaml --out out/scarcity/shardset
    mixscale sweep examples/evidence/scarcity/swarm.yaml

The first argument is a folder in the layout of RedPajama-v1. The second gets, by domain,
`train/DOMAIN.jsonl`, as many bytes as its part of RedPajama's tokens, and
`validation/DOMAIN.jsonl`, a tenth of its documents.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import fsspec

from mixscale.contracts.atomic import atomic_write

BILLION_TOKENS = {
    "arxiv": 28,
    "book": 26,
    "c4": 175,
    "common_crawl": 878,
    "github": 59,
    "stackexchange": 20,
    "wikipedia": 24,
}
"""Tokens of RedPajama-v1 by domain, as its data card states them."""

TOTAL_BYTES = 5_100_000
CHARACTERS = 4000
"""Of each document, from its start: long ones would make a scarce domain one or two of them."""
VALIDATION = 10
"""One document in so many is held out."""


def texts(folder: Path) -> Iterator[str]:
    """Yield the texts of a domain in the order of a hash of their start."""
    found = [text[:CHARACTERS] for path in sorted(folder.rglob("*.jsonl*")) for text in _read(path)]
    yield from sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())


def cut(folder: Path, wanted_bytes: int) -> tuple[list[str], list[str]]:
    """Split a domain into its supply and what is held out.

    Args:
        folder: The domain's files.
        wanted_bytes: Of the supply; all there is when the domain has less.

    Returns:
        The texts to train on, and those of the validation set.
    """
    found = list(texts(folder))
    held_out = found[: max(1, len(found) // VALIDATION)]
    supply, size = [], 0
    for text in found[len(held_out) :]:
        if size >= wanted_bytes:
            break
        supply.append(text)
        size += len(text.encode())
    return supply, held_out


def _read(path: Path) -> Iterator[str]:
    """Yield the texts of a file; rows that are no record with a text are left out."""
    with fsspec.open(str(path), "rt", encoding="utf-8", compression=_compression(path)) as stream:
        for line in stream:
            try:
                yield json.loads(line)["text"]
            except (json.JSONDecodeError, KeyError, TypeError):
                continue


def _compression(path: Path) -> str | None:
    return "zstd" if path.suffix == ".zst" else None


def _write(path: Path, found: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.writelines(json.dumps({"text": text}) + "\n" for text in found)


def main() -> None:
    """Write the supply of every domain."""
    parser = argparse.ArgumentParser(description="Cut the supply of the experiment.")
    parser.add_argument("source", type=Path, metavar="FROM")
    parser.add_argument("out", type=Path, metavar="TO")
    arguments = parser.parse_args()
    whole = sum(BILLION_TOKENS.values())
    for domain, billions in BILLION_TOKENS.items():
        wanted = TOTAL_BYTES * billions // whole
        supply, held_out = cut(arguments.source / domain, wanted)
        _write(arguments.out / "train" / f"{domain}.jsonl", supply)
        _write(arguments.out / "validation" / f"{domain}.jsonl", held_out)
        size = sum(len(text.encode()) for text in supply)
        print(f"{domain:14} {len(supply):5} documents, {size:9,} bytes of {wanted:9,} wanted")


if __name__ == "__main__":
    main()
