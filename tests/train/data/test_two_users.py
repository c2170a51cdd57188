"""Two users of one machine, who start Streaming datasets at once, ours and plain ones."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixscale.train.data.shared_memory import FIRST_NUMBER, remove_stale

MEMORY = Path("/dev/shm")
SCRIPT = """
import atexit, multiprocessing, os, sys, traceback

os.environ["TORCH_WARM_POOL"] = "0"
from streaming import StreamingDataset
from mixscale.train.config import DatasetConfig
from mixscale.train.data.shared_memory import remove_stale
from mixscale.train.data.streams import build_dataset

folder, PROCESSES, DATASETS, USERS = sys.argv[1], *map(int, sys.argv[2:4]), [0, 65534]
CONFIG = DatasetConfig.model_validate({"streams": {"t": {"local": folder, "split": "train"}}})


def become(user):
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def start(number, everyone, plain_ones, failures):
    # A process of another user may not read the libraries: all of them are loaded by now.
    if USERS[number % 2]:
        become(USERS[number % 2])
    try:
        everyone.wait(timeout=600)
        kept = []
        for _ in range(DATASETS):
            kept.append(build_dataset(CONFIG, 1))
            # Two plain ones can take the same number from each other, which is not ours to mend.
            with plain_ones:
                kept.append(StreamingDataset(local=folder, split="train", batch_size=1))
        assert len({dataset._shm_prefix_int for dataset in kept}) == len(kept)
        assert all(len(dataset[0]["tokens"]) == 32 for dataset in kept)
        everyone.wait(timeout=600)
        remove_stale()
        everyone.wait(timeout=600)
        fresh = build_dataset(CONFIG, 1)
        assert fresh._shm_prefix_int not in {dataset._shm_prefix_int for dataset in kept}
    except BaseException:
        failures.put(f"user {os.getuid()}: {traceback.format_exc()}")
        raise


build_dataset(CONFIG, 1)
atexit._run_exitfuncs()
context = multiprocessing.get_context("fork")
everyone, plain_ones = context.Barrier(PROCESSES), context.Lock()
failures = context.Queue()
processes = [
    context.Process(target=start, args=(number, everyone, plain_ones, failures))
    for number in range(PROCESSES)
]
for process in processes:
    process.start()
for process in processes:
    process.join(180)
codes = [process.exitcode for process in processes]
for process in processes:
    process.kill()
while not failures.empty():
    print(failures.get(), file=sys.stderr)
sys.exit(0 if codes == [0] * len(codes) else str(codes))
"""
KILLED = """
import os, sys
from mixscale.train.config import DatasetConfig
from mixscale.train.data.streams import build_dataset
streams = {"t": {"local": sys.argv[1], "split": "train"}}
dataset = build_dataset(DatasetConfig.model_validate({"streams": streams}), 1)
child = os.fork()
if child == 0:
    import signal
    signal.pause()
print(f"{dataset._shm_prefix_int:06} {child} {os.getpid()}", flush=True)
input()
"""


@pytest.fixture
def public(shardset: Path) -> Iterator[Path]:
    """A copy of a domain that every user may read; pytest's own folders are private."""
    root = Path(tempfile.mkdtemp())
    shutil.copytree(shardset / "code", root / "code")
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield root / "code"
    shutil.rmtree(root)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start processes of another user")
def test_forty_datasets_of_two_users_half_of_them_plain(public: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(public), "4", "5"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not MEMORY.is_dir(), reason="shared memory is no folder on this system")
def test_shared_memory_of_a_killed_run_is_removed(shardset: Path) -> None:
    """Not while a process of it still lives, and never that of others."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(shardset / "code")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    number, child, _ = process.stdout.readline().split()
    try:
        assert int(number) >= FIRST_NUMBER
        remove_stale()
        assert (MEMORY / f"{number}_locals").exists()
        process.kill()
        process.wait()
        remove_stale()
        assert (MEMORY / f"{number}_locals").exists(), "a process of the run still uses it"
    finally:
        # All of its session, the process of Python that would clean up after it too.
        os.killpg(process.pid, signal.SIGKILL)
    while Path("/proc", child).exists() and "State:\tZ" not in _status(child):
        pass
    plain = MEMORY / "000999_locals"
    plain.touch()
    try:
        remove_stale()
        assert not list(MEMORY.glob(f"{number}_*"))
        assert plain.exists()
    finally:
        plain.unlink()


def _status(process: str) -> str:
    try:
        return Path("/proc", process, "status").read_text()
    except FileNotFoundError:
        return ""
