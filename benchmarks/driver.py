"""Measures the work of the one process that gives out the tasks of a build, step by step.

python -m benchmarks.driver [--files 20000 200000] [--bundles 100000 1000000]

Files, bundles and counts are made, not real: what is measured is only what that process does
itself, with workers that do nothing. `a unit` is the time for one more file, bundle, shard or task,
from the two sizes; what does not grow is left out of it.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.ingest.corpus import read_corpus
from mixscale.ingest.decisions import Decisions
from mixscale.ingest.dedup.groups import Source, group_rows
from mixscale.ingest.grow.inputs import read_inputs, record_inputs
from mixscale.ingest.readers.bundles import bundle_units
from mixscale.ingest.readers.cut_units import UNIT_BYTES, cut_units
from mixscale.ingest.readers.find_files import find_files
from mixscale.ingest.readers.source_file import SourceFile
from mixscale.ingest.runtime.local import local_runner
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.select.classify import ReadSettings
from mixscale.ingest.stages.count import Counts
from mixscale.ingest.stages.read import BundleSummary, ReadTask
from mixscale.ingest.stages.unit_places import UnitPlaces
from mixscale.ingest.stages.write_shards import StreamTask
from mixscale.ingest.stages.write_task import WriteSettings, make_write_tasks
from mixscale.ingest.tokenize.encoder import FAST, EncoderSpec
from mixscale.shards.storage.checksums import write_checksums
from mixscale.shards.storage.mds import MdsOptions

DOMAINS = ("arxiv", "book", "c4", "common_crawl", "github", "stackexchange", "wikipedia")
ROWS = 8_000
"""Documents of a bundle of 32 MiB, about as in RedPajama-1T."""
TOKENS = 8_000_000
LENGTH = 2048
Seconds = dict[str, tuple[int, float]]


def main() -> None:
    """Measure two sizes, then print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs=2, default=[20_000, 200_000])
    parser.add_argument("--bundles", type=int, nargs=2, default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    arguments = parser.parse_args()
    small: Seconds = {}
    large: Seconds = {}
    for measured, files, bundles in zip(
        (small, large), arguments.files, arguments.bundles, strict=True
    ):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            measure_files(Path(folder), files, measured)
            measure_bundles(Path(folder), bundles, measured)
    print(f"{'step':<34} {'units':>10} {'s':>8}   {'units':>10} {'s':>8}   a unit, microseconds")
    for step, (count, seconds) in small.items():
        more, longer = large[step]
        slope = (longer - seconds) / (more - count) * 1e6
        print(f"{step:<34} {count:10,} {seconds:8.2f}   {more:10,} {longer:8.2f}   {slope:8.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"most memory: {peak:,.0f} MiB, that is {peak * 1024 / large['read tasks'][0]:.1f} KiB")
    print("for each of the bundles of the larger size")


def clock(
    measured: Seconds, step: str, count: int, function: Callable[..., Any], *args: Any
) -> Any:
    """Run a step and note its processor time and how many units it had."""
    started = time.process_time()
    result = function(*args)
    measured[step] = count, time.process_time() - started
    return result


def measure_files(folder: Path, count: int, measured: Seconds) -> None:
    """Measure what grows with the number of small files."""
    for number in range(count):
        path = folder / "raw" / f"{number // 1000:04}" / f"{number:07}.txt"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.touch()
    text = "domains: {notes: {paths: raw/*/*.txt}}\ntokenizer: t\nsequence_length: 2048\n"
    (folder / "corpus.yaml").write_text(text)
    corpus = read_corpus(folder / "corpus.yaml")
    files = clock(measured, "small files: find", count, find_files, corpus, folder)
    bundles = clock(
        measured, "small files: put together", count, lambda: bundle_units(cut_units(files))
    )
    tasks = [read_task(folder, units) for units in bundles]
    summaries = [summary(len(units), len(units)) for units in bundles]
    work = Workspace(out=folder)
    numbers = [{"notes": number} for number in range(len(bundles))]
    places = UnitPlaces(path=folder / "places.arrow")
    clock(measured, "small files: places", count, places.write, tasks, summaries)
    clock(
        measured,
        "small files: inputs.json, written",
        count,
        lambda: record_inputs(work, tasks, summaries, numbers, None),
    )
    clock(measured, "small files: inputs.json, read", count, read_inputs, work)
    shutil.rmtree(folder / "raw")


def measure_bundles(folder: Path, count: int, measured: Seconds) -> None:
    """Measure what grows with the number of bundles of 32 MiB."""
    file = SourceFile(
        address="/corpus/common_crawl/part.jsonl",
        name="common_crawl/part.jsonl",
        format="jsonl",
        compression=None,
        size=count * UNIT_BYTES,
        version="1",
        domain="common_crawl",
    )
    bundles = clock(measured, "bundles: cut", count, lambda: bundle_units(cut_units([file])))
    tasks = clock(
        measured,
        "read tasks",
        count,
        lambda: [read_task(folder, units, str(n)) for n, units in enumerate(bundles)],
    )
    summaries = [summary(1, ROWS)] * count
    sources = [Source(rows_path=task.rows_path, rows=ROWS) for task in tasks]
    clock(measured, "copies: groups", count, group_rows, sources, 1 << 21)
    counts = made_counts(count)
    settings = WriteSettings(
        work=Workspace(out=folder),
        decisions=Decisions(folder=folder, group_rows=1 << 21),
        places=UnitPlaces(path=folder / "places.arrow"),
        domains=DOMAINS,
        sequence_length=LENGTH,
    )
    written, token_files = clock(
        measured,
        "write tasks",
        count,
        lambda: make_write_tasks(settings, list(zip(tasks, summaries, strict=True)), counts),
    )
    hashes = {str(path): "0" * 64 for task in written for path in task.documents.values()}
    stream = StreamTask(
        folder=folder / "s",
        remainder=folder / "r",
        completions=folder / "c",
        documents=0,
        text_bytes=0,
        token_files=tuple(token_files[3, False]),
        sequence_length=LENGTH,
        dtype=np.dtype("<u2"),
        options=MdsOptions(),
    )
    clock(measured, "shard tasks", count // 4, lambda: list(stream.tasks()))
    some = min(count, 100_000) if count < 1_000_000 else 200_000
    for path in list(hashes)[:some]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
    clock(measured, "checksums of Parquet files", some, write_checksums, folder, [], hashes)
    with local_runner(2, folder) as run:
        run(nothing, written[:2], lambda *_: None)
        some = count // 50
        clock(measured, "giving out tasks", some, run, nothing, written[:some], ignore)


def read_task(folder: Path, units: Any, name: str = "unit") -> ReadTask:
    """Make the task of reading some units."""
    spec = EncoderSpec(name=FAST, model_path=folder / "t", eos_token_id=0, dtype="<u2")
    settings = ReadSettings(rules=(), routing=None, skip_repeats=True)
    return ReadTask(units=units, settings=settings, encoder=spec, stem=folder / "units" / name)


def summary(units: int, rows: int) -> BundleSummary:
    """Make what reading would tell."""
    each = rows // units
    return BundleSummary(unit_rows=(each,) * units, tokens=TOKENS, digests=("0" * 32,) * units)


def made_counts(bundles: int) -> Counts:
    """Make the sums of bundles of one domain, a hundredth of each held out."""
    shape = (bundles, len(DOMAINS), 2)
    rows = np.zeros((bundles, len(DOMAINS) + 1), np.int64)
    documents, text_bytes, tokens = (np.zeros(shape, np.int64) for _ in range(3))
    rows[:, 3] = ROWS
    for sums, total in ((documents, ROWS), (text_bytes, UNIT_BYTES), (tokens, TOKENS)):
        sums[:, 3] = total - total // 100, total // 100
    return Counts(
        rows=rows,
        documents=documents,
        text_bytes=text_bytes,
        tokens=tokens,
        lacking=np.zeros(bundles, np.int64),
    )


def nothing(task: Any) -> None:
    """Do nothing."""
    del task


def ignore(*arguments: Sequence[Any]) -> None:
    """Do nothing."""
    del arguments


if __name__ == "__main__":
    main()
