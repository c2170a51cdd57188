"""Files that are either absent or whole, even when the process is killed while writing."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

TEMPORARY_PREFIX = ".tmp-"


def temporary_beside(path: Path) -> Path:
    """Name a new temporary file in the folder of `path`, so that a rename cannot cross disks."""
    return path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{path.name}")


def commit(temporary: Path, path: Path) -> None:
    """Make a written temporary file durable under its final name."""
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(path)
    # The rename itself is durable only once the folder has reached the disk.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends well, and vanishes otherwise.

    For writers that open the file themselves (Parquet, pictures). Parent folders are made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        yield temporary
        commit(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under `path` only when the block ends well.

    Args:
        path: The file to write; parent folders are made.
        mode: `"w"` for UTF-8 text, `"wb"` for bytes.
    """
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else ""
    with (
        atomic_path(path) as temporary,
        temporary.open(mode, encoding=encoding, newline=newline) as stream,
    ):
        yield stream


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write JSON a person can read, atomically, with a final newline."""
    with atomic_write(path) as stream:
        json.dump(value, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
