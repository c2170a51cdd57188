"""Shared memory of datasets that are no more; found without importing Streaming."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

FIRST_NUMBER = 100_000
"""Our datasets take their numbers from here on."""
SHARED_MEMORY = Path("/dev/shm")
# Streaming's own name of the file that registers a dataset (`streaming.base.constant.LOCALS`).
_LOCALS_FILE = re.compile(r"(\d{6,})_locals")


def stale_datasets(folder: Path = SHARED_MEMORY) -> list[tuple[Path, list[Path]]]:
    """Find the shared memory of datasets that no process has marked as in use.

    A dataset that is just starting has no mark yet: what is to be deleted must be looked for under
    the lock of `shared_memory.py`.

    Returns:
        For each dataset the file that registers it, and its other files.
    """
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        match = _LOCALS_FILE.fullmatch(path.name)
        if match and int(match[1]) >= FIRST_NUMBER and not _is_in_use(path):
            found.append((path, [p for p in folder.glob(f"{match[1]}_*") if p != path]))
    return found


def _is_in_use(path: Path) -> bool:
    """Whether a process has marked the memory, or it is another user's."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
