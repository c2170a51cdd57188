"""Lock files that Streaming leaves behind."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path

from streaming.base.constant import BARRIER_FILELOCK, CACHE_FILELOCK, LOCALS

_LOCK = re.compile(rf"(\d{{6,}})_(?:{BARRIER_FILELOCK}|{CACHE_FILELOCK})")
_SHARED_MEMORY = Path("/dev/shm")


def remove_stale_locks() -> None:
    """Delete the lock files of datasets that are no more.

    Streaming makes two for every dataset and deletes none, and a new dataset tries one number
    after the other until no lock has it: after 3000 datasets that took a run's start a second of
    CPU time. A dataset registers its shared memory before it makes its locks, so that a lock
    without shared memory belongs to nobody.
    """
    if not _SHARED_MEMORY.is_dir():
        return
    for path in Path(tempfile.gettempdir()).iterdir():
        found = _LOCK.fullmatch(path.name)
        if found and not (_SHARED_MEMORY / f"{found[1]}_{LOCALS}").exists():
            # Another process may delete it at this moment, or another user own it.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                path.unlink()
