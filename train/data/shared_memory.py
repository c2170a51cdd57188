"""What the Streaming datasets of one machine share: names in shared memory, lock files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from composer.utils import dist
from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK, LOCALS

_LOCK_FILE = re.compile(rf"(\d{{6,}})_(?:{BARRIER_FILELOCK}|{CACHE_FILELOCK})")
_SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def starting_datasets() -> Iterator[None]:
    """Keep other runs on this machine from starting a dataset at the same moment.

    Each process of a run looks for the first number that no dataset has, and the first process
    registers it: without a lock another run may take it in between, and the processes of one run
    may find different ones (mosaicml/streaming#901). The first process holds the lock for all of
    its run, and none looks before it does.
    """
    with _names_locked() if dist.get_local_rank() == 0 else contextlib.nullcontext():
        if dist.get_world_size() > 1:
            dist.barrier()
        yield


@contextlib.contextmanager
def _names_locked() -> Iterator[None]:
    """Lock the folder that holds the names; unlike a lock file, any user of the machine can."""
    folder = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_stale_locks() -> None:
    """Delete the lock files of datasets that are no more.

    Streaming makes two for every dataset and deletes none, and a new dataset tries one number
    after the other until no lock has it: after 3000 datasets that took a run's start a second of
    CPU time. A dataset registers its shared memory before it makes its locks, so that a lock
    without shared memory belongs to nobody, as long as none is starting.
    """
    if not _SHARED_MEMORY.is_dir():
        return
    with _names_locked():
        for path in Path(tempfile.gettempdir()).iterdir():
            found = _LOCK_FILE.fullmatch(path.name)
            if found and not (_SHARED_MEMORY / f"{found[1]}_{LOCALS}").exists():
                # Another user may own it.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    path.unlink()
