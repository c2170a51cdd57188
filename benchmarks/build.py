"""Times `mixscale build` against gigatoken alone on the same files, and prints their ratio.

python -m benchmarks.build CORPUS_ROOT [--megabytes 200] [--repeats 3] [--workers 2]

CORPUS_ROOT has the layout of RedPajama-Data-1T. Its text is repeated with words exchanged, so that
no copy is a duplicate. All times are of whole processes, from a cold start.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from ingest.corpus import read_corpus
from ingest.records import record_blocks
from ingest.sources import cut_units, find_sources

VOCAB_SIZE = 50_257
GIGATOKEN = """
import sys, gigatoken
tokenizer, *files = sys.argv[1:]
gigatoken.Tokenizer(tokenizer).encode_files(gigatoken.JsonlFileSource(files))
"""
MIXSCALE = """
import sys
from ingest.build import build
if __name__ == "__main__":
    build(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]), progress=False)
"""


def main() -> None:
    """Make the text, time both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = repeat_text(arguments.root, folder / "text", arguments.megabytes * 1_000_000)
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        tokenizer = train_tokenizer(folder, arguments.workers)
        corpus = write_corpus(folder, str(tokenizer))
        commands = {
            "gigatoken alone": [sys.executable, "-c", GIGATOKEN, tokenizer, *files],
            "mixscale build": [sys.executable, "-c", MIXSCALE, corpus, folder / "out"],
        }
        commands["mixscale build"].append(arguments.workers)
        report(time_in_turns(commands, folder / "out", arguments.repeats), megabytes)


def repeat_text(root: Path, folder: Path, size: int) -> list[Path]:
    """Write about `size` bytes of JSON Lines in the same layout, every copy a little different."""
    files: list[Path] = []
    written = number = 0
    while written < size:
        for name, records in read_records(root):
            path = folder / name.partition("/")[0] / f"{number:03}-{Path(name).name}"
            path = path.with_suffix("") if path.suffix == ".zst" else path
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [orjson.dumps(record) for record in exchanged(records, number)]
            path.write_bytes(b"\n".join([*lines, b""]))
            written += path.stat().st_size
            files.append(path)
        number += 1
    return files


def read_records(root: Path) -> Iterator[tuple[str, list[dict]]]:
    """Read all files of a corpus in the RedPajama layout, by name below the root."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_corpus(Path(folder), "unused", root)
        corpus = read_corpus(path)
    for unit in cut_units(find_sources(corpus, Path())):
        yield unit.file.name, [record for block in record_blocks(unit) for record in block]


def exchanged(records: Sequence[dict], number: int) -> Iterator[dict]:
    """Exchange one word in fifty of every text."""
    rng = random.Random(number)
    for record in records:
        words = record["text"].split(" ")
        for _ in range(len(words) // 50):
            first, second = rng.randrange(len(words)), rng.randrange(len(words))
            words[first], words[second] = words[second], words[first]
        yield {**record, "text": " ".join([*words, str(number)])}


def write_corpus(folder: Path, tokenizer: object, root: Path | None = None) -> Path:
    """Write a `corpus.yaml` that reads all domains."""
    path = folder / "corpus.yaml"
    domains = ["arxiv", "book", "c4", "common_crawl", "github", "stackexchange", "wikipedia"]
    settings = {
        "tokenizer": tokenizer,
        "sequence_length": 2048,
        **(
            {"preset": "redpajama-v1", "root": str(root.resolve())}
            if root
            else {"domains": {name: {"paths": f"text/{name}/*"} for name in domains}}
        ),
    }
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def train_tokenizer(folder: Path, workers: int) -> Path:
    """Train a tokenizer of the size of GPT-2's on the text, by a build that is thrown away."""
    corpus = write_corpus(folder, {"train": {"vocab_size": VOCAB_SIZE}})
    out = folder / "training"
    run([sys.executable, "-c", MIXSCALE, corpus, out, workers])
    path = folder / "tokenizer.json"
    shutil.copyfile(out / "tokenizer" / "tokenizer.json", path)
    shutil.rmtree(out)
    return path


def time_in_turns(
    commands: dict[str, list[object]], out: Path, repeats: int
) -> dict[str, list[float]]:
    """Run the commands by turns, so that a busy minute slows both."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            shutil.rmtree(out, ignore_errors=True)
            start = time.perf_counter()
            run(command)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def run(command: Sequence[object]) -> None:
    """Run one command to its end."""
    subprocess.run([str(part) for part in command], check=True)


def report(seconds: dict[str, list[float]], megabytes: float) -> None:
    """Print medians and the ratio of the rates."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, times in seconds.items():
        rate = megabytes / medians[name]
        print(f"{name:<16} {medians[name]:7.2f} s  {rate:6.1f} MB/s  (all: {sorted(times)})")
    ratio = medians["gigatoken alone"] / medians["mixscale build"]
    print(f"{megabytes:.0f} MB of JSON Lines; mixscale runs at {ratio:.2f} x gigatoken alone")


if __name__ == "__main__":
    main()
