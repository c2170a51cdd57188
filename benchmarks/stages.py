"""Where the processor time of a build goes, stage by stage, in one process.

python -m benchmarks.stages CORPUS_ROOT [--megabytes 250] [--repeats 3]

The text is that of `benchmarks.build`. Reading is timed once as a whole and then in layers, each
with all that come before it: bytes, lines, JSON, classified texts, ids.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.texts import repeat_text, total_megabytes, write_corpus

VOCAB_SIZE = 50_257
_BECOME_REAPER = 36
"""`PR_SET_CHILD_SUBREAPER` of Linux."""
STAGES = (
    "prepare_tokenizer",
    "choose_encoder",
    "_read",
    "_decide",
    "count_rows",
    "_write_documents",
    "_write_shards",
    "write_checksums",
    "_complete",
)
Seconds = dict[str, list[float]]


def main() -> None:
    """Make the text, then print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--megabytes", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    seconds: Seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = repeat_text(arguments.root, folder, arguments.megabytes * 1_000_000)
        tokenizer = train_tokenizer(folder)
        corpus = write_corpus(folder, str(tokenizer))
        for number in range(arguments.repeats):
            time_imports(seconds)
            time_small_build(folder, str(tokenizer), seconds)
            time_stages(corpus, folder / f"out{number}", seconds)
            time_layers(corpus, tokenizer / "tokenizer.json", seconds)
        print(f"{total_megabytes(files):.0f} MB of JSON Lines; seconds of one processor")
    for label, values in seconds.items():
        print(f"{label:<24} {statistics.median(values):6.2f}")


def train_tokenizer(folder: Path) -> Path:
    """Train one of the size of GPT-NeoX's by a build."""
    from mixscale.ingest.build import build

    corpus = write_corpus(folder, {"train": {"vocab_size": VOCAB_SIZE}}, "000-*")
    build(corpus, folder / "training", progress=False)
    return folder / "training" / "tokenizer"


def time_imports(seconds: Seconds) -> None:
    """Time a Python that does nothing but load the module of the build."""
    code = "import time, mixscale.ingest.build; print(time.process_time())"
    printed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    seconds.setdefault("imports", []).append(float(printed.stdout))


def time_small_build(folder: Path, tokenizer: str, seconds: Seconds) -> None:
    """Time all processes of a build of a few texts with two workers: what no text can make less."""
    small = folder / "small"
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir()
    lines = (json.dumps({"text": f"{n} " + "some words " * 100}) for n in range(500))
    (small / "text.jsonl").write_text("\n".join(lines))
    settings = {
        "domains": {"small": {"paths": "text.jsonl"}},
        "tokenizer": tokenizer,
        "sequence_length": 64,
    }
    (small / "corpus.yaml").write_text(json.dumps(settings))
    # So that the workers, which outlive the command for a moment, are children of this process.
    ctypes.CDLL(None).prctl(_BECOME_REAPER, 1, 0, 0, 0)
    # The fork server of builds in this process does not end.
    others = {child.pid for child in psutil.Process().children()}
    before = children_seconds()
    command = ["-m", "mixscale", "build", str(small / "corpus.yaml"), "--out", str(small / "out")]
    process = [sys.executable, *command, "--workers", "2"]
    subprocess.run(process, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for child in psutil.Process().children():
        if child.pid not in others:
            os.waitpid(child.pid, 0)
    seconds.setdefault("a few texts, two workers", []).append(children_seconds() - before)


def children_seconds() -> float:
    """Add up the processor time of processes that have ended below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def time_stages(corpus: Path, out: Path, seconds: Seconds) -> None:
    """Build, with a clock around every stage."""
    from mixscale.ingest import build as module

    originals = {}
    for name in STAGES:
        owner: Any = module._Job if hasattr(module._Job, name) else module
        originals[owner, name] = getattr(owner, name)
        setattr(owner, name, clocked(originals[owner, name], seconds.setdefault(name, [])))
    try:
        module.build(corpus, out, workers=1, progress=False)
    finally:
        for (owner, name), original in originals.items():
            setattr(owner, name, original)


def clocked(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Add the processor time of every call to a list."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds.append(time.process_time() - start)

    return call


def time_layers(corpus_yaml: Path, model: Path, seconds: Seconds) -> None:
    """Read all units once for each layer of reading."""
    from mixscale.ingest.corpus import read_corpus
    from mixscale.ingest.readers.cut_units import cut_units
    from mixscale.ingest.readers.find_files import find_files
    from mixscale.ingest.readers.lines import line_blocks
    from mixscale.ingest.readers.records import record_blocks
    from mixscale.ingest.select.classify import ReadSettings, classified_blocks
    from mixscale.ingest.select.rules import make_routing, make_rules
    from mixscale.ingest.tokenize.encoder import FAST, Encoder, EncoderSpec

    corpus = read_corpus(corpus_yaml)
    units = cut_units(find_files(corpus, corpus_yaml.parent))
    settings = ReadSettings(
        rules=make_rules(corpus), routing=make_routing(corpus), skip_repeats=True
    )
    encode = Encoder(EncoderSpec(name=FAST, model_path=model, eos_token_id=0, dtype="<u2"))

    def chunks() -> Iterable[bytes]:
        for unit in units:
            with unit.file.open() as stream:
                while chunk := stream.read(1 << 20):
                    yield chunk

    layers: dict[str, Callable[[], Iterable[Any]]] = {
        "reading: bytes": chunks,
        "reading: lines": lambda: line_blocks(iter(chunks())),
        "reading: JSON": lambda: (b for u in units for b in record_blocks(u)),
        "reading: classified texts": lambda: (
            b for u in units for b in classified_blocks(u, settings)
        ),
        "reading: ids": lambda: (
            encode(b.texts) for u in units for b in classified_blocks(u, settings)
        ),
    }
    for label, layer in layers.items():
        start = time.process_time()
        for _ in layer():
            pass
        seconds.setdefault(label, []).append(time.process_time() - start)


if __name__ == "__main__":
    main()
