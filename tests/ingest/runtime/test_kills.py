"""Stops builds at random moments: the same command must end with the same bytes."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import read_shardset
from mixscale.ingest.build import build
from mixscale.ingest.runtime.workspace import BUILD_FOLDER
from mixscale.ingest.stages.read import ReadTask, read_bundle
from mixscale.shards.storage.checksums import checksum_problems

REPOSITORY = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("MIXSCALE_KILLS", "32"))
BUILD = """
import mixscale.ingest.dedup.groups
import mixscale.ingest.readers.cut_units
from mixscale.ingest.build import build

def run(corpus, out, workers):
    mixscale.ingest.dedup.groups.GROUP_ROWS = 150
    mixscale.ingest.readers.cut_units.UNIT_BYTES = 20_000
    build(corpus, out, workers=int(workers), progress=False)
"""
# Imports once, then starts every build as a fork of itself: most of a small build is imports.
LAUNCHER = (
    BUILD
    + """
import os
import sys
import awkward, gigatoken, rensa, tokenizers
import mixscale.ingest.stages.write_documents, mixscale.ingest.dedup.shingles
import mixscale.shards.sql.index
mixscale.ingest.dedup.shingles._kinds()

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
def texts() -> dict[str, list[str]]:
    """The texts of three files, with copies and near copies among them."""
    rng = random.Random(11)
    found = {}
    for name in ("a/1", "b/1", "a/0"):
        words = [rng.choices(WORDS, k=120) for _ in range(100)]
        found[name] = [" ".join(text) for text in [*words, *rng.choices(words, k=12)]]
        found[name] += [" ".join(["other", *text[1:]]) for text in rng.choices(words, k=12)]
    return found


@pytest.fixture
def corpus(
    tmp_path: Path, write_corpus: Callable, write_lines: Callable, texts: dict[str, list[str]]
) -> Path:
    for name in ("a/1", "b/1"):
        write_lines(f"{name}.jsonl", [{"text": text} for text in texts[name]])
    # Small files, some of which are read together.
    for number, text in enumerate(texts["b/1"][70:110]):
        write_lines(f"c/{number:02}.txt", [" ".join(reversed(text.split()))])
    return write_corpus(
        domains={name: {"paths": f"{name}/*"} for name in ("a", "b", "c")},
        tokenizer={"train": {"vocab_size": 280}},
        split={"validation": 0.2},
        duplicates={"near": {"words": 3}},
        shards={"size_limit": 30_000},
    )


class Launcher:
    """Starts builds and tells how they ended."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER],
            cwd=REPOSITORY,
            # What a kill leaves behind is told by nobody.
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
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


def holds(out: Path, files: int) -> bool:
    """Whether the folder claims to be a finished shard set of so many input files."""
    if not (out / "shardset.json").exists():
        return False
    # What claims to be whole is whole, before the same command runs once more.
    shardset = read_shardset(out)
    assert not list(checksum_problems(out, shardset.files_sha256, shardset.streams))
    return len(json.loads((out / "inputs.json").read_text())["files"]) == files


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_builds_end_with_the_same_bytes(
    corpus: Path, tmp_path: Path, launcher: Launcher, read_tree: Callable, workers: int
) -> None:
    kill_until_done(launcher, corpus, tmp_path, None, workers, read_tree)


def test_killed_growth_ends_with_the_same_bytes(
    corpus: Path,
    tmp_path: Path,
    launcher: Launcher,
    read_tree: Callable,
    write_lines: Callable,
    texts: dict[str, list[str]],
) -> None:
    old = tmp_path / "old"
    launcher.start(corpus, old, 1)
    assert launcher.wait() == 0
    write_lines("a/0.jsonl", [{"text": text} for text in texts["a/0"]])
    write_lines("c/205.txt", ["between the others"])
    kill_until_done(launcher, corpus, tmp_path, old, 2, read_tree)


def kill_until_done(
    launcher: Launcher,
    corpus: Path,
    folder: Path,
    old: Path | None,
    workers: int,
    read_tree: Callable,
) -> None:
    """Kill builds, which begin with nothing or with an old shard set, a third of all times."""
    reference = begin(folder / "reference", old)
    started = time.monotonic()
    launcher.start(corpus, reference, workers)
    assert launcher.wait() == 0
    seconds = time.monotonic() - started
    expected = read_tree(reference)
    files = len(json.loads((reference / "inputs.json").read_text())["files"])
    rng = random.Random(workers)
    kills = folders = 0
    out = begin(folder / "out-0", old)
    while kills < -(-KILLS // 3):
        pid = launcher.start(corpus, out, workers)
        time.sleep(rng.uniform(0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        was_killed = launcher.wait() == signal.SIGKILL
        kills += was_killed
        # On a machine whose load changes, so that kills come early and late.
        seconds *= 1.1 if was_killed else 0.8
        if holds(out, files):
            finish_and_compare(launcher, corpus, out, expected, read_tree)
            folders += 1
            out = begin(folder / f"out-{folders}", old)
    finish_and_compare(launcher, corpus, out, expected, read_tree)
    print(f"{kills} kills, {folders + 1} shard sets", file=sys.stderr)


def begin(out: Path, old: Path | None) -> Path:
    """Put the old shard set there, when there is one."""
    return out if old is None else shutil.copytree(old, out)


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
    assert not (out / "shardset.json").exists()
    assert build(corpus, out, workers=1, progress=False).domains["a"]["train"].documents > 60


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, with room for a little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may make a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_explained_and_resumed(
    corpus: Path, tmp_path: Path, small_disk: Path, read_tree: Callable, workers: int
) -> None:
    build(corpus, tmp_path / "reference", workers=1, progress=False)
    out = small_disk / "out"
    failures = 0
    # A little more room each time, so that the disk is full in every stage.
    for size in [*range(64, 2048, 128), 65536]:
        room = f"remount,size={size}k"
        subprocess.run(["mount", "-o", room, str(small_disk)], check=True)
        try:
            build(corpus, out, workers=workers, progress=False)
        except UserError as error:
            assert "No space left on device" in str(error)  # noqa: PT017  # others are none
            failures += 1
    assert failures > 3
    assert read_tree(out) == read_tree(tmp_path / "reference")


def test_an_input_that_vanishes_stops_the_build_and_is_said(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "moved"
    path = tmp_path / "b" / "1.jsonl"

    def vanishing(task: ReadTask) -> Any:
        if task.units[0].file.address == str(path) and path.exists():
            path.rename(moved)
        return read_bundle(task)

    monkeypatch.setattr("mixscale.ingest.build.read_bundle", vanishing)
    with pytest.raises(UserError, match=r"b/1\.jsonl: cannot read: No such file or directory"):
        build(corpus, tmp_path / "out", workers=1, progress=False)
    assert not (tmp_path / "out" / "shardset.json").exists()
    with pytest.raises(UserError, match=r"domains\.b\.paths: no file matches b/\*"):
        build(corpus, tmp_path / "out", workers=1, progress=False)
    monkeypatch.undo()
    moved.rename(path)
    build(corpus, tmp_path / "out", workers=1, progress=False)
    path.unlink()
    (tmp_path / "b" / "2.jsonl").write_text('{"text": "another"}\n')
    with pytest.raises(UserError, match=r"input gone: b:b/1\.jsonl\n  input added: b:b/2\.jsonl"):
        build(corpus, tmp_path / "out", workers=1, progress=False)
