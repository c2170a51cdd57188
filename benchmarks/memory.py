"""Measures the peak memory of `mixscale build` on corpora that are hard on it.

python -m benchmarks.memory [CASE …] [--workers 2] [--folder FOLDER]

Cases: ordinary (600 MB of JSON Lines), document (one document of 300 MB), array (the same in a JSON
array), compressed (one file of 400 MB), tiny (5 million lines), near (1 million short texts, near
duplicates left out). A case is made of random words; the peak is that of the sum over all processes
of the build, sampled twenty times a second: proportional set size, so that pages shared between
them count once.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

LIMIT_BYTES = 1536 << 20
BUILD = """
import sys
from mixscale.ingest.build import build
if __name__ == "__main__":
    build(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]), progress=False)
"""
SETTINGS = """
domains: {{d: {{paths: "text/*"}}}}
tokenizer: {{train: {{vocab_size: 4096}}}}
sequence_length: 2048
split: {{validation: 0}}
duplicates: {duplicates}
"""


def main() -> None:
    """Build each case and print its peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the text and the shard sets are made")
    arguments = parser.parse_args()
    is_over = False
    for case in arguments.cases or CASES:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            sizes, seconds = measure(Path(name), case, arguments.workers)
        is_over |= sum(sizes) > LIMIT_BYTES
        parts = " + ".join(f"{size / 2**20:.0f}" for size in sizes)
        print(f"{case:10} {sum(sizes) / 2**20:5.0f} MiB = {parts}, {seconds:.0f} s", flush=True)
    sys.exit(is_over)


def measure(folder: Path, case: str, workers: int) -> tuple[list[int], float]:
    """Build a case; gives the bytes of all processes at the peak, the main one first, and time."""
    (folder / "text").mkdir()
    CASES[case](folder / "text")
    duplicates = "{near: true}" if case == "near" else "{}"
    (folder / "corpus.yaml").write_text(SETTINGS.format(duplicates=duplicates))
    command = [sys.executable, "-c", BUILD, folder / "corpus.yaml", folder / "out", str(workers)]
    started = time.monotonic()
    process = subprocess.Popen(command)
    peak: list[int] = []
    while process.poll() is None:
        sizes = [proportional_bytes(pid) for pid in family(process.pid)]
        peak = max(peak, sizes, key=sum)
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{case}: the build failed")
    return peak, time.monotonic() - started


def family(pid: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from family(int(child))


def proportional_bytes(pid: int) -> int:
    """Read how much memory is a process's, shared pages by its share of them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def words(rng: random.Random, count: int) -> str:
    """Make text of so many random words."""
    return " ".join(rng.choices(VOCABULARY, k=count))


def write_lines(stream: IO[bytes], lines: Iterator[str], size: int) -> None:
    """Write records until the file has so many bytes of text."""
    written = 0
    for text in lines:
        written += stream.write(json.dumps({"text": text}).encode() + b"\n")
        if written >= size:
            return


def texts(rng: random.Random) -> Iterator[str]:
    """Yield texts of all lengths without end."""
    block = words(rng, 1_000_000)
    while True:
        start = rng.randrange(len(block))
        yield block[start : start + int(rng.lognormvariate(7.5, 1.2)) + 1]


def ordinary(folder: Path) -> None:
    """Write 600 MB of JSON Lines in four files."""
    for number in range(4):
        with (folder / f"{number}.jsonl").open("wb") as stream:
            write_lines(stream, texts(random.Random(number)), 150_000_000)


def document(folder: Path) -> None:
    """Write one document of 300 MB beside some small ones."""
    rng = random.Random(17)
    with (folder / "0.jsonl").open("wb") as stream:
        write_lines(stream, texts(rng), 1_000_000)
        stream.write(b'{"text": "')
        blocks = [words(rng, 250_000).encode()[:1_000_000] for _ in range(20)]
        for _ in range(300):
            stream.write(rng.choice(blocks))
        stream.write(b'"}\n')
        write_lines(stream, texts(rng), 1_000_000)


def array(folder: Path) -> None:
    """Write a JSON array with one document of 300 MB between two small ones."""
    rng = random.Random(17)
    blocks = [words(rng, 250_000).encode()[:1_000_000] for _ in range(20)]
    small = b'{"text": "%s"}' % words(rng, 50_000).encode()
    with (folder / "0.json").open("wb") as stream:
        stream.write(b"[" + small + b', {"text": "')
        for _ in range(300):
            stream.write(rng.choice(blocks))
        stream.write(b'"}, ' + small + b"]")


def compressed(folder: Path) -> None:
    """Write one compressed file of 400 MB."""
    rng = random.Random(17)
    with (folder / "0.jsonl.gz").open("wb") as target:
        while target.tell() < 400_000_000:
            # Members one behind the other, each of text that packs badly: a third of its size.
            with gzip.open(target, "wb", compresslevel=1) as stream:
                block = [hex(rng.getrandbits(8192))[2:] + words(rng, 100) for _ in range(20_000)]
                write_lines(stream, iter(block), 1 << 40)  # type: ignore[arg-type]


def tiny(folder: Path) -> None:
    """Write five million lines of a few words."""
    rng = random.Random(17)
    for number in range(5):
        with (folder / f"{number}.jsonl").open("wb") as stream:
            for line in range(1_000_000):
                stream.write(b'{"text": "%d %s"}\n' % (line * 5 + number, rng.choice(SHORT)))


def near(folder: Path) -> None:
    """Write a million texts of thirty words, half of them with one word changed."""
    rng = random.Random(17)
    with (folder / "0.jsonl").open("wb") as stream:
        for number in range(500_000):
            text = rng.choices(VOCABULARY, k=30)
            other = [*text[:29], f"x{number}"]
            for copy in (text, other):
                stream.write(b'{"text": "%s"}\n' % " ".join(copy).encode())


CASES: dict[str, Callable[[Path], None]] = {
    "ordinary": ordinary,
    "document": document,
    "array": array,
    "compressed": compressed,
    "tiny": tiny,
    "near": near,
}
_SYLLABLES = ["ba", "de", "fi", "go", "hu", "la", "me", "ni", "po", "ru", "sa", "te"]
VOCABULARY = ["".join(random.Random(n).choices(_SYLLABLES, k=1 + n % 4)) for n in range(20_000)]
SHORT = [" ".join(random.Random(n).choices(VOCABULARY, k=4)).encode() for n in range(5000)]
if __name__ == "__main__":
    main()
