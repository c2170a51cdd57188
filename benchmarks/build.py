"""Times `mixscale build` against gigatoken alone, against other tools, and on ten times the text.

python -m benchmarks.build CORPUS_ROOT [--megabytes 200] [--repeats 3] [--workers 2]
    [--peers build/peers] [--peer-megabytes 16] [--growth 10]

CORPUS_ROOT has the layout of RedPajama-Data-1T. Its text is repeated with words exchanged, so that
no copy is a duplicate. Times of mixscale and gigatoken are of whole processes, from a cold start;
those of the peers leave out the start and the imports. All take turns. The peers (`make peers`)
take minutes for what mixscale does in seconds, so they get the first part of every file only;
their speed does not depend on the size, as two values of --peer-megabytes show.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.texts import repeat_text, take_heads, total_megabytes, write_corpus

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
OURS, ALONE = "mixscale build", "gigatoken alone"
PEERS = {
    "LLM Foundry": ("llm-foundry", "run_llm_foundry.py", 30),
    "datatrove": ("datatrove", "run_datatrove.py", 25),
    "litdata": ("litdata", "run_litdata.py", 30),
}
"""Environment, script and the ratio that is aimed at."""

Work = Callable[[], float]
"""Does something and returns the seconds that it took."""


def main() -> None:
    """Make the text, time everything and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peers", type=Path, help="folder with their environments")
    parser.add_argument("--peer-megabytes", type=int, nargs="+", default=[16])
    parser.add_argument("--growth", type=int, help="also build so many times one round of the text")
    arguments = parser.parse_args()
    describe_machine()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments.workers, arguments.repeats)
        bench.prepare(arguments.root, arguments.megabytes * 1_000_000)
        speed = bench.against_gigatoken()
        if arguments.peers:
            bench.against_peers(arguments.peers.absolute(), arguments.peer_megabytes, speed)
        if arguments.growth:
            bench.growth(arguments.root, arguments.growth)


class Bench:
    """One folder with text and a tokenizer, and what is timed in it."""

    def __init__(self, folder: Path, workers: int, repeats: int) -> None:
        self._folder = folder
        self._workers = workers
        self._repeats = repeats
        self._tokenizer = folder / "tokenizer"
        self._files: list[Path] = []

    def prepare(self, root: Path, size: int) -> None:
        """Write the text, and train a tokenizer of the size of GPT-NeoX's on it."""
        self._files = repeat_text(root, self._folder, size)
        corpus = write_corpus(self._folder, {"train": {"vocab_size": VOCAB_SIZE}}, "000-*")
        self._build(corpus)
        shutil.copytree(self._folder / "out" / "tokenizer", self._tokenizer)

    def against_gigatoken(self) -> float:
        """Print both speeds and their ratio; return that of mixscale in MB/s."""
        corpus = write_corpus(self._folder, str(self._tokenizer))
        model = self._tokenizer / "tokenizer.json"
        alone = [sys.executable, "-c", GIGATOKEN, model, *self._files]
        works = {ALONE: lambda: run(alone), OURS: lambda: self._build(corpus)}
        megabytes = total_megabytes(self._files)
        seconds = report(time_in_turns(works, self._repeats), megabytes)
        print(f"mixscale runs at {seconds[ALONE] / seconds[OURS]:.2f} x gigatoken alone (goal 0.5)")
        return megabytes / seconds[OURS]

    def against_peers(self, environments: Path, sizes: Sequence[int], speed: float) -> None:
        """Print the speed of every peer for every size, and how much faster mixscale is."""
        for size in sizes:
            files = take_heads(self._first_round(), self._folder / f"{size}", size * 1_000_000)
            works = {name: self._peer(name, environments, files) for name in PEERS}
            megabytes = total_megabytes(files)
            seconds = report(time_in_turns(works, self._repeats), megabytes)
            for name, (_, _, goal) in PEERS.items():
                ratio = speed * seconds[name] / megabytes
                print(f"mixscale is {ratio:.1f} x as fast as {name} (goal {goal})")

    def growth(self, root: Path, times: int) -> None:
        """Print how much longer `times` the text takes."""
        shutil.rmtree(self._folder / "text")
        files = repeat_text(root, self._folder, 1)
        size = sum(path.stat().st_size for path in files)
        # A whole round more than `times - 1` rounds, whatever the last digits of the sizes.
        more = repeat_text(root, self._folder, size * times - size // 2)
        works: dict[str, Work] = {}
        for names, label in (("000-*", "one round"), ("*", f"{times} rounds")):
            corpus = write_corpus(self._folder, str(self._tokenizer), names)
            kept = corpus.rename(corpus.with_name(f"{label}.yaml"))
            works[label] = lambda kept=kept: self._build(kept)
        medians = medians_of(time_in_turns(works, self._repeats))
        one, many = (medians[label] for label in works)
        grown = total_megabytes(more) / total_megabytes(files)
        print(
            f"{total_megabytes(files):.1f} MB: {one:.2f} s; {grown:.2f} x as much: {many:.2f} s, "
            f"which is {many / one:.2f} x as long (goal at most {1.05 * times:.1f})"
        )

    def _first_round(self) -> list[Path]:
        return [path for path in self._files if path.name.startswith("000-")]

    def _build(self, corpus: Path) -> float:
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        return run([sys.executable, "-c", MIXSCALE, corpus, out, self._workers])

    def _peer(self, name: str, environments: Path, files: Sequence[Path]) -> Work:
        environment, script, _ = PEERS[name]
        out = self._folder / "peer"
        command = [environments / environment / "bin" / "python"]
        command += [Path(__file__).parent / "peers" / script, self._tokenizer, out, self._workers]

        def work() -> float:
            shutil.rmtree(out, ignore_errors=True)
            text = subprocess.run(
                [str(part) for part in (*command, *files)],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"HF_HUB_OFFLINE": "1"},
            ).stdout
            return json.loads(text.splitlines()[-1])["seconds"]

        return work


def time_in_turns(works: dict[str, Work], repeats: int) -> dict[str, list[float]]:
    """Do all works by turns, so that a busy minute slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            seconds[name].append(work())
    return seconds


def run(command: Sequence[object]) -> float:
    """Run one command to its end, and return the seconds that it took."""
    start = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True)
    return time.perf_counter() - start


def medians_of(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Take the median of each."""
    return {name: statistics.median(times) for name, times in seconds.items()}


def report(seconds: dict[str, list[float]], megabytes: float) -> dict[str, float]:
    """Print all times with the speed at the median, and return the medians."""
    medians = medians_of(seconds)
    print(f"{megabytes:.0f} MB of JSON Lines")
    for name, times in seconds.items():
        shown = " ".join(f"{value:.2f}" for value in sorted(times))
        print(
            f"{name:<16} {medians[name]:7.2f} s  {megabytes / medians[name]:6.1f} MB/s  ({shown})"
        )
    return medians


def describe_machine() -> None:
    """Print what the times depend on."""
    from cpuinfo import get_cpu_info

    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = get_cpu_info().get("brand_raw", platform.machine())
    print(f"{name}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
