"""Makes text of any size in the layout of RedPajama-Data-1T, no two documents alike."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from mixscale.ingest.corpus import read_corpus
from mixscale.ingest.readers.cut_units import cut_units
from mixscale.ingest.readers.find_files import find_files
from mixscale.ingest.readers.records import record_blocks

DOMAINS = ("arxiv", "book", "c4", "common_crawl", "github", "stackexchange", "wikipedia")
_FOLDER = "text"


def repeat_text(root: Path, folder: Path, size: int) -> list[Path]:
    """Write at least `size` bytes of JSON Lines in `folder/text`, every round a little different.

    Args:
        root: A corpus in the layout of RedPajama-Data-1T.
        folder: Gets `text/<domain>/<round>-<file>.jsonl`.
        size: Whole rounds over the corpus are written until there are so many bytes.

    Returns:
        The files, round after round.
    """
    files: list[Path] = []
    written = number = 0
    while written < size:
        for name, records in _read_records(root):
            path = folder / _FOLDER / name.partition("/")[0] / f"{number:03}-{Path(name).name}"
            path = path.with_suffix("") if path.suffix == ".zst" else path
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [orjson.dumps(record) for record in _exchanged(records, number)]
            path.write_bytes(b"\n".join([*lines, b""]))
            written += path.stat().st_size
            files.append(path)
        number += 1
    return files


def take_heads(files: Sequence[Path], folder: Path, size: int) -> list[Path]:
    """Write the first lines of all files, about `size` bytes together, in the same layout."""
    heads: list[Path] = []
    for file in files:
        path = folder / _FOLDER / file.parent.name / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source, path.open("wb") as target:
            while target.tell() < size // len(files) and (line := source.readline()):
                target.write(line)
        heads.append(path)
    return heads


def total_megabytes(files: Sequence[Path]) -> float:
    """Add up the sizes, in units of 10^6 bytes."""
    return sum(path.stat().st_size for path in files) / 1e6


def write_corpus(folder: Path, tokenizer: object, names: str = "*") -> Path:
    """Write a `corpus.yaml` that reads the files of these names in `folder/text/<domain>`."""
    return _write_yaml(
        folder / "corpus.yaml",
        tokenizer=tokenizer,
        domains={name: {"paths": f"{_FOLDER}/{name}/{names}"} for name in DOMAINS},
    )


def _write_yaml(path: Path, **settings: object) -> Path:
    path.write_text(json.dumps({"sequence_length": 2048, **settings}), encoding="utf-8")
    return path


def _read_records(root: Path) -> Iterator[tuple[str, list[dict]]]:
    """Read all files of a corpus in the RedPajama layout, by name below the root."""
    with tempfile.TemporaryDirectory() as folder:
        path = _write_yaml(
            Path(folder) / "corpus.yaml",
            tokenizer="unused",
            preset="redpajama-v1",
            root=str(root.resolve()),
        )
        corpus = read_corpus(path)
    for unit in cut_units(find_files(corpus, Path())):
        yield unit.file.name, [record for block in record_blocks(unit) for record in block]


def _exchanged(records: Sequence[dict], number: int) -> Iterator[dict]:
    """Exchange one word in fifty of every text."""
    rng = random.Random(number)
    for record in records:
        words = record["text"].split(" ")
        for _ in range(len(words) // 50):
            first, second = rng.randrange(len(words)), rng.randrange(len(words))
            words[first], words[second] = words[second], words[first]
        yield {**record, "text": " ".join([*words, str(number)])}
