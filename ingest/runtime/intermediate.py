"""Intermediate files of a build: checked when they are read again, not flushed to disk."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xxhash

from mixscale.contracts.atomic import temporary_beside

_READ_BYTES = 1 << 22


@contextlib.contextmanager
def intermediate_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends well.

    Unlike `contracts.atomic.atomic_path` this does not wait for the disk, which would take
    longer than the work. After a power failure the file may be damaged, which
    `read_completion` notices.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_completion(path: Path, value: dict[str, Any], files: Sequence[Path] = ()) -> None:
    """Record that a task is done: what it found, and the hashes of the files it left."""
    hashes = {str(file): _file_hash(file) for file in files}
    with intermediate_path(path) as temporary:
        temporary.write_text(json.dumps({"value": value, "files": hashes}), encoding="utf-8")


def read_completion(path: Path) -> dict[str, Any] | None:
    """Read what a task found, or nothing when it is not done or its files are damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        whole = all(_file_hash(Path(name)) == known for name, known in found["files"].items())
        return found["value"] if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file_hash(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
