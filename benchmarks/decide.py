"""Measures how deciding which copy of a text stays grows with the rows, and falls with the workers.

python -m benchmarks.decide [--rows 10000000 100000000] [--workers 1 2] [--near]

The rows are made, not real: bundles of 20,000 rows of four domains, a tenth of them copies of
others. With `--near` they have signatures, a tenth of them nearly those of others. Processor time
is that of all processes. Beside it stands the limit: what a plain write and read of as many bytes
takes just before, in memory as little used, because the kernel's share does not grow evenly (a
virtual machine gets memory from its host at the first touch). A slice is what one task reads from
one other: there are as many as the square of the number of groups of rows, so that they count from
billions of rows on.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa

from mixscale.ingest.corpus import Near
from mixscale.ingest.dedup.decide import Policy, decide
from mixscale.ingest.dedup.exact import LOSS
from mixscale.ingest.dedup.exchange import Exchange
from mixscale.ingest.dedup.groups import Source
from mixscale.ingest.runtime.local import local_runner
from mixscale.ingest.unit_rows import KEPT, ROWS

BUNDLE_ROWS = 20_000
DOMAINS = 4
COPIES = 0.1
TRIAL_ROWS = 2_000_000
"""Tell how many bytes a row has; more of them, and the first use of memory would tell too."""
CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Use:
    """What the processes of this benchmark have used."""

    seconds: float
    written: int
    """Bytes, by system calls."""
    read: int

    def since(self, before: Use) -> Use:
        """Return what came after `before`."""
        return Use(
            seconds=self.seconds - before.seconds,
            written=self.written - before.written,
            read=self.read - before.read,
        )


def main() -> None:
    """Make the rows, then print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000_000, 100_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--near", action="store_true")
    parser.add_argument("--folder", type=Path, help="for the rows; a temporary one by default")
    arguments = parser.parse_args()
    near = Near() if arguments.near else None
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        trial = min(TRIAL_ROWS, *arguments.rows)
        use, _, _ = measure(folder, write_bundles(folder / "bundles", trial, near), 1, near)
        print(
            "rows         workers  processor s  limit s   wall s  ns a row  above limit  most MiB"
        )
        for rows in arguments.rows:
            sources = write_bundles(folder / "bundles", rows, near)
            for workers in arguments.workers:
                with plain_bytes(folder / "bytes", use, rows / trial) as limit:
                    found, wall, most = measure(folder, sources, workers, near)
                each, above = (1e9 / rows * s for s in (found.seconds, found.seconds - limit))
                print(
                    f"{rows:<12,} {workers:<8} {found.seconds:11.1f} {limit:8.1f} {wall:8.1f}"
                    f" {each:9.0f} {above:12.0f} {most:9.0f}",
                    flush=True,
                )
        print(f"{measure_slices(folder):.1f} microseconds a slice")


def measure(
    folder: Path, sources: list[Source], workers: int, near: Near | None
) -> tuple[Use, float, float]:
    """Decide about rows; returns the use, seconds by the clock, and the most MiB of a process."""
    policy = Policy(
        scope="corpus", priority=tuple(range(DOMAINS)), share=0.01, documents=0, near=near
    )
    with local_runner(workers, folder) as run, most_memory() as peak:
        # The start of the workers is no part of deciding.
        run(nothing, range(2 * workers), nothing)
        before, started = used(), time.monotonic()
        decide(sources, policy, folder / "decisions", run)
        wall, use = time.monotonic() - started, used().since(before)
    shutil.rmtree(folder / "decisions")
    return use, wall, peak[0]


@contextmanager
def plain_bytes(path: Path, use: Use, times: float) -> Iterator[float]:
    """Write as many bytes as `use` did, so many times; read as many; yield processor seconds.

    The file stays to the end of the block, so that what follows does not get its memory.
    """
    started = time.process_time()
    chunk = bytes(CHUNK_BYTES)
    with path.open("wb", buffering=0) as stream:
        for _ in range(round(use.written * times / CHUNK_BYTES)):
            stream.write(chunk)
    left = round(use.read * times / CHUNK_BYTES)
    room = bytearray(CHUNK_BYTES)
    with path.open("rb", buffering=0) as stream:
        for _ in range(left):
            if not stream.readinto(room):
                stream.seek(0)
    try:
        yield time.process_time() - started
    finally:
        path.unlink()


def nothing(*_: object) -> None:
    """Let a worker load what it needs."""
    pa.array([0]).to_numpy()


def measure_slices(folder: Path, writers: int = 2_000, readers: int = 50) -> float:
    """Measure the time of reading a slice of few records, in microseconds of processor time."""
    exchange = Exchange(folder=folder / "slices", writers=writers, readers=readers, dtype=LOSS)
    records = np.zeros(10 * readers, LOSS)
    for writer in range(writers):
        exchange.write(writer, records, np.repeat(np.arange(readers), 10))
    started = time.process_time()
    for reader in range(readers):
        exchange.read(reader)
    return (time.process_time() - started) / writers / readers * 1e6


def write_bundles(folder: Path, rows: int, near: Near | None) -> list[Source]:
    """Write as many bundles as are missing; the first ones are the same for any number of rows."""
    folder.mkdir(exist_ok=True)
    sources: list[Source] = []
    for number in range(-(-rows // BUNDLE_ROWS)):
        path = folder / f"{number}.arrow"
        signatures = path.with_suffix(".signatures")
        if not path.exists():
            write_bundle(path, number)
            if near is not None:
                write_signatures(signatures, number, near)
        sources.append(
            Source(
                rows_path=path,
                rows=BUNDLE_ROWS,
                signatures_path=signatures if near is not None else None,
            )
        )
    return sources


def write_bundle(path: Path, number: int) -> None:
    """Write one bundle: hashes at random, some of them those of rows anywhere before."""
    rng = np.random.default_rng(number)
    texts = np.arange(BUNDLE_ROWS, dtype=np.uint64) + np.uint64(number * BUNDLE_ROWS)
    copies = rng.random(BUNDLE_ROWS) < COPIES
    texts[copies] = rng.integers(0, (number + 1) * BUNDLE_ROWS, int(copies.sum()), np.uint64)
    columns = {
        "domain": np.full(BUNDLE_ROWS, number % DOMAINS, np.int16),
        "high": mixed(texts),
        "low": mixed(texts + np.uint64(1 << 63)),
        "status": np.full(BUNDLE_ROWS, KEPT, np.uint8),
        "tokens": np.full(BUNDLE_ROWS, 500, np.uint64),
    }
    fields = [field for field in ROWS if field.name in columns]
    table = pa.table([pa.array(columns[f.name], f.type) for f in fields], pa.schema(fields))
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=8192)


def write_signatures(path: Path, number: int, near: Near) -> None:
    """Write signatures at random; some are those of a bundle before with a tenth changed."""
    signatures = random_signatures(number, near)
    rng = np.random.default_rng(-1 - number & 0xFFFFFFFF)
    if number:
        near_ones = np.flatnonzero(rng.random(BUNDLE_ROWS) < COPIES)
        of = random_signatures(int(rng.integers(0, number)), near)[near_ones]
        changed = rng.random(of.shape) < 0.1
        of[changed] = rng.integers(0, 1 << 32, int(changed.sum()), np.uint32)
        signatures[near_ones] = of
    signatures.tofile(path)


def random_signatures(number: int, near: Near) -> np.ndarray:
    """Make the signatures of a bundle whose texts are like no others, (rows, permutations)."""
    rng = np.random.default_rng(number + (1 << 40))
    return rng.integers(0, 1 << 32, (BUNDLE_ROWS, near.permutations), np.uint32)


def mixed(values: np.ndarray) -> np.ndarray:
    """Spread every bit over all others (the finalizer of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def used() -> Use:
    """Add up what this process and those below it have used."""
    seconds, written, read = 0.0, 0, 0
    for process in family():
        with suppress(psutil.NoSuchProcess):
            times, files = process.cpu_times(), process.io_counters()
            seconds += times.user + times.system
            written, read = written + files.write_chars, read + files.read_chars
    return Use(seconds=seconds, written=written, read=read)


@contextmanager
def most_memory() -> Iterator[list[float]]:
    """Watch the largest process of this one's family, in MiB without shared files."""
    peak = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            peak[0] = max(peak[0], *(private_mebibytes(process) for process in family()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def family() -> list[psutil.Process]:
    """List this process and those below it."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def private_mebibytes(process: psutil.Process) -> float:
    """Read how much memory a process has for itself."""
    with suppress(psutil.NoSuchProcess):
        memory = process.memory_info()
        return (memory.rss - memory.shared) / (1 << 20)
    return 0.0


if __name__ == "__main__":
    main()
