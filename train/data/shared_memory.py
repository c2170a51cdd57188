"""What the Streaming datasets of one machine share: numbered shared memory and lock files.

Our datasets take their numbers from 100000 on. Streaming alone counts from 0, without a lock, so
that a plain dataset and one of ours never want the same number.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from composer.utils import dist
from streaming import StreamingDataset
from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK, LOCALS
from streaming.base.shared import SharedMemory, prefix

from mixscale.train.data.stale_memory import FIRST_NUMBER, SHARED_MEMORY, stale_datasets

_LOCK_FILE = re.compile(rf"(\d{{6,}})_(?:{BARRIER_FILELOCK}|{CACHE_FILELOCK})")


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
_streaming_numbers = prefix._each_prefix_int


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
    prefix._each_prefix_int = functools.partial(itertools.count, FIRST_NUMBER)
    try:
        return _streaming_find(*arguments, **options)
    finally:
        prefix.SharedMemory = SharedMemory  # pyright: ignore[reportPrivateImportUsage]
        prefix._each_prefix_int = _streaming_numbers


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
    folder = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Closing alone would leave it to a process that was forked meanwhile.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def keep_alive(dataset: StreamingDataset) -> None:
    """Mark the shared memory of a dataset as in use, until this process and its children end.

    The mark is a lock on the memory's file: it ends with the processes, however they end, and
    processes of another container that shares the memory see it too.
    """
    path = SHARED_MEMORY / f"{dataset._shm_prefix_int:06}_{LOCALS}"
    if path.is_file():
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)


def remove_stale() -> None:
    """Delete the shared memory and the lock files of datasets that are no more.

    A killed run leaves its shared memory behind; what nobody marks as in use is deleted. Only
    numbers of ours are looked at: plain datasets of Streaming have no mark.

    Streaming makes two for every dataset and deletes none, and a new dataset tries one number
    after the other until no lock has it: after 3000 datasets that took a run's start a second of
    CPU time. A dataset registers its shared memory before it makes its locks, so that a lock
    without shared memory belongs to nobody, as long as none is starting.
    """
    if not SHARED_MEMORY.is_dir():
        return
    with _numbers_locked():
        _remove_stale_memory()
        for path in Path(tempfile.gettempdir()).iterdir():
            found = _LOCK_FILE.fullmatch(path.name)
            if found and not (SHARED_MEMORY / f"{found[1]}_{LOCALS}").exists():
                # Another user may own it.
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    path.unlink()


def _remove_stale_memory() -> None:
    """Delete what belongs to no process; under the lock of the numbers no dataset is starting."""
    for path, parts in stale_datasets():
        # Its own file last: killed before, the next call finds the rest by it.
        for part in (*parts, path):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                part.unlink()
