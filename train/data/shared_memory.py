"""What the Streaming datasets of one machine share: numbered shared memory and lock files."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from composer.utils import dist
from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK, LOCALS
from streaming.base.shared import SharedMemory, prefix

_LOCK_FILE = re.compile(rf"(\d{{6,}})_(?:{BARRIER_FILELOCK}|{CACHE_FILELOCK})")
_SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def starting_datasets() -> Iterator[None]:
    """Keep the datasets of different runs on this machine apart while they start.

    Each process of a run looks for the first number that no dataset has, and the first process
    registers it. When another dataset starts or ends in between, two runs take the same number, or
    the processes of one run different ones (mosaicml/streaming#901). So the first process locks the
    numbers for all of its run, and its processes agree on one.
    """
    with _numbers_locked() if dist.get_local_rank() == 0 else contextlib.nullcontext():
        if dist.get_world_size() > 1:
            # None looks before the lock is held.
            dist.barrier()
        with _searching_by(_find_together if dist.get_world_size() > 1 else _find):
            yield


_streaming_find = prefix._check_and_find_retrying


@contextlib.contextmanager
def _searching_by(find: Callable[..., int]) -> Iterator[None]:
    """Let Streaming search for a free number by a function of ours."""
    prefix._check_and_find_retrying = find
    try:
        yield
    finally:
        prefix._check_and_find_retrying = _streaming_find


def _find(*arguments: Any, **options: Any) -> int:
    """Search without keeping open what is found.

    Streaming alone keeps a file open until the process ends for each piece of shared memory of each
    dataset that it comes across: with 40 datasets that was 10,000 files.
    """
    prefix.SharedMemory = functools.partial(SharedMemory, auto_cleanup=False)  # pyright: ignore[reportPrivateImportUsage]
    try:
        return _streaming_find(*arguments, **options)
    finally:
        prefix.SharedMemory = SharedMemory  # pyright: ignore[reportPrivateImportUsage]


def _find_together(*arguments: Any, **options: Any) -> int:
    """Return, in all processes of a machine, the largest number that one of them found.

    It is free: under the lock numbers become free, but none is taken.
    """
    node = dist.get_node_rank()
    found = dist.all_gather_object((node, _find(*arguments, **options)))
    return max(number for place, number in found if place == node)


@contextlib.contextmanager
def _numbers_locked() -> Iterator[None]:
    """Lock the folder of the shared memory; unlike a lock file, any user of the machine can."""
    folder = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Closing alone would leave it to a process that was forked meanwhile.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
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
    with _numbers_locked():
        for path in Path(tempfile.gettempdir()).iterdir():
            found = _LOCK_FILE.fullmatch(path.name)
            if found and not (_SHARED_MEMORY / f"{found[1]}_{LOCALS}").exists():
                # Another user may own it.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    path.unlink()
