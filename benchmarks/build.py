"""Times `mixscale build` against gigatoken alone, against other tools, and on ten times the text.

python -m benchmarks.build CORPUS_ROOT [--megabytes 500] [--repeats 3] [--workers 2]
    [--peers build/peers] [--peer-megabytes 16] [--growth 10]

CORPUS_ROOT has the layout of RedPajama-Data-1T. Its text is repeated with words exchanged, so that
no copy is a duplicate. Times of mixscale and gigatoken are of whole processes, from a cold start;
those of the peers leave out the start and the imports. All take turns. The peers (`make peers`)
take minutes for what mixscale does in seconds, so they get the first part of every file only;
their speed hardly depends on the size, as two values of --peer-megabytes show.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from mixscale.ingest.build import build
if __name__ == "__main__":
    build(*sys.argv[1:3], workers=int(sys.argv[3]), progress=False, own_process=True)
"""
OURS, ALONE = "mixscale build", "gigatoken alone"
PEERS = {
    "LLM Foundry": ("llm-foundry", "run_llm_foundry.py", 30),
    "datatrove": ("datatrove", "run_datatrove.py", 25),
    "litdata": ("litdata", "run_litdata.py", 30),
}
"""Environment, script and the ratio that is aimed at."""

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run took."""

    seconds: float
    processor: float
    """Seconds of all its processes together, from their start."""


Work = Callable[[], Cost]


def main() -> None:
    """Make the text, time everything and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peers", type=Path, default=None, help="folder with their environments")
    parser.add_argument("--peer-megabytes", type=int, nargs="+", default=[16])
    parser.add_argument("--growth", type=int, help="also build so many times one round of the text")
    arguments = parser.parse_args()
    adopt_orphans()
    describe_machine()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), arguments.workers, arguments.repeats)
        bench.prepare(arguments.root, arguments.megabytes * 1_000_000)
        bench.compare(arguments.peers, arguments.peer_megabytes if arguments.peers else [])
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

    def compare(self, environments: Path, peer_sizes: Sequence[int]) -> None:
        """Time mixscale, gigatoken alone and the peers in turns, and print the ratios."""
        corpus = write_corpus(self._folder, str(self._tokenizer))
        model = self._tokenizer / "tokenizer.json"
        alone = [sys.executable, "-c", GIGATOKEN, model, *self._files]
        whole = total_megabytes(self._files)
        works: dict[str, Work] = {ALONE: lambda: run(alone), OURS: lambda: self._build(corpus)}
        megabytes = {ALONE: whole, OURS: whole}
        goals = {ALONE: 0.5}
        for size in peer_sizes:
            files = take_heads(self._first_round(), self._folder / f"{size}", size * 1_000_000)
            for name, (environment, script, goal) in PEERS.items():
                label = f"{name}, {size} MB"
                works[label] = self._peer(environments / environment, script, files)
                megabytes[label], goals[label] = total_megabytes(files), goal
        speeds = report(time_in_turns(works, self._repeats), megabytes)
        for name, goal in goals.items():
            print(f"mixscale: {speeds[OURS] / speeds[name]:.2f} x {name} (goal {goal})")

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
        sizes = dict(zip(works, map(total_megabytes, (files, more)), strict=True))
        one, many = report(time_in_turns(works, self._repeats), sizes).values()
        grown = total_megabytes(more) / total_megabytes(files)
        print(
            f"{grown:.2f} x the text: {grown * one / many:.2f} x the time (goal {1.05 * times:.1f})"
        )

    def _first_round(self) -> list[Path]:
        return [path for path in self._files if path.name.startswith("000-")]

    def _build(self, corpus: Path) -> Cost:
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        return run([sys.executable, "-c", MIXSCALE, corpus, out, self._workers])

    def _peer(self, environment: Path, script: str, files: Sequence[Path]) -> Work:
        out = self._folder / "peer"
        python = environment.absolute() / "bin" / "python"
        program = Path(__file__).parent / "peers" / script
        command = [python, program, self._tokenizer, out, self._workers, *files]

        def work() -> Cost:
            shutil.rmtree(out, ignore_errors=True)
            cost, text = run_and_read(command)
            # Without its start and imports, which would weigh too much on so little text.
            return replace(cost, seconds=json.loads(text.splitlines()[-1])["seconds"])

        return work


def time_in_turns(works: dict[str, Work], repeats: int) -> dict[str, list[Cost]]:
    """Do all works by turns, so that a busy minute slows all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            costs[name].append(work())
    return costs


def run(command: Sequence[object]) -> Cost:
    """Run one command to its end."""
    return run_and_read(command)[0]


def run_and_read(command: Sequence[object]) -> tuple[Cost, str]:
    """Run one command to its end, and return what it printed too."""
    before, start = processor_seconds(), time.perf_counter()
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:3])} … failed:\n{done.stderr}")
    return Cost(seconds=seconds, processor=processor_seconds() - before), done.stdout


def adopt_orphans() -> None:
    """Become the parent of what fork servers leave behind, so that its processor time is known."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def processor_seconds() -> float:
    """Add up what all processes took that this one started, once they have ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(costs: dict[str, list[Cost]], megabytes: dict[str, float]) -> dict[str, float]:
    """Print all times; return the speeds in MB/s at the median."""
    speeds: dict[str, float] = {}
    for name, runs in costs.items():
        median = statistics.median(run.seconds for run in runs)
        processor = statistics.median(run.processor for run in runs)
        speeds[name] = megabytes[name] / median
        shown = " ".join(f"{run.seconds:.2f}" for run in runs)
        print(
            f"{name:<18} {megabytes[name]:5.0f} MB {median:7.2f} s {speeds[name]:7.2f} MB/s, "
            f"{processor:6.2f} s of processors ({shown})"
        )
    return speeds


def describe_machine() -> None:
    """Print what the times depend on."""
    from cpuinfo import get_cpu_info

    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = get_cpu_info().get("brand_raw", platform.machine())
    print(f"{name}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
