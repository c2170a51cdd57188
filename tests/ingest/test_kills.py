"""Kills builds at random moments: the same command must end with the same bytes."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.build import build
from ingest.workspace import BUILD_FOLDER

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("MIXSCALE_KILLS", "32"))
BUILD = """
import ingest.sources
from ingest.build import build

def run(corpus, out, workers):
    ingest.sources.UNIT_BYTES = 20_000
    build(corpus, out, workers=int(workers), progress=False)
"""
# Imports once, then starts every build as a fork of itself: most of a small build is imports.
LAUNCHER = (
    BUILD
    + """
import os
import sys
import ingest.finish, shards.index, awkward, gigatoken, tokenizers

if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            run(*line.split())
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)
"""
)
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


@pytest.fixture
def corpus(tmp_path: Path, write_corpus: Callable, write_lines: Callable) -> Path:
    rng = random.Random(11)
    for name in ("a", "b"):
        texts = [" ".join(rng.choices(WORDS, k=120)) for _ in range(120)]
        texts += rng.choices(texts, k=12)
        write_lines(f"{name}/1.jsonl", [{"text": text} for text in texts])
    return write_corpus(
        domains={"a": {"paths": "a/*"}, "b": {"paths": "b/*"}},
        tokenizer={"train": {"vocab_size": 280}},
        split={"validation": 0.2},
        shards={"size_limit": 30_000},
    )


class Launcher:
    """Starts builds and tells how they ended."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def start(self, corpus: Path, out: Path, workers: int) -> int:
        """Start a build and return its process."""
        assert self._process.stdin is not None
        print(corpus, out, workers, file=self._process.stdin, flush=True)
        return int(self._answer())

    def wait(self) -> int:
        """Wait for the build and return its status: 0 when it ended well."""
        return int(self._answer())

    def stop(self) -> None:
        """End the launcher."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    launcher = Launcher()
    yield launcher
    launcher.stop()


def looks_whole(out: Path) -> bool:
    """Whether the folder claims to be a finished shard set."""
    return (out / "shardset.json").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_builds_end_with_the_same_bytes(
    corpus: Path, tmp_path: Path, launcher: Launcher, read_tree: Callable, workers: int
) -> None:
    reference = tmp_path / "reference"
    started = time.monotonic()
    launcher.start(corpus, reference, workers)
    assert launcher.wait() == 0
    seconds = time.monotonic() - started
    expected = read_tree(reference)
    rng = random.Random(workers)
    kills = folders = 0
    while kills < KILLS // 2:
        out = tmp_path / f"out-{folders}"
        pid = launcher.start(corpus, out, workers)
        time.sleep(rng.uniform(0, seconds * 0.7))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        kills += launcher.wait() == signal.SIGKILL
        if looks_whole(out):
            finish_and_compare(launcher, corpus, out, expected, read_tree)
            folders += 1
    finish_and_compare(launcher, corpus, tmp_path / f"out-{folders}", expected, read_tree)


def finish_and_compare(
    launcher: Launcher, corpus: Path, out: Path, expected: dict, read_tree: Callable
) -> None:
    """Run the command once more, undisturbed."""
    launcher.start(corpus, out, 1)
    assert launcher.wait() == 0
    assert not (out / BUILD_FOLDER).exists()
    assert read_tree(out) == expected


def test_workers_end_with_a_killed_build(corpus: Path, tmp_path: Path, launcher: Launcher) -> None:
    pid = launcher.start(corpus, tmp_path / "out", 2)
    deadline = time.monotonic() + 20
    while not list((tmp_path / "out").glob(".build/units/*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children = descendants(pid)
    assert len(children) >= 2
    os.kill(pid, signal.SIGKILL)
    launcher.wait()
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline, "a worker outlived its build"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Tell a process at work from one that is gone or waits for its parent to notice its end."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    """List the processes below one."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    children = [int(child) for child in tasks.read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def test_refused_writes_are_explained_and_resumed(corpus: Path, tmp_path: Path) -> None:
    program = (
        BUILD
        + """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
run(*sys.argv[1:])
"""
    )
    out = tmp_path / "out"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(corpus), str(out), "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "UserError: cannot write on: " in ended.stderr
    assert not looks_whole(out)
    assert build(corpus, out, workers=1, progress=False).domains["a"]["train"].documents > 90
