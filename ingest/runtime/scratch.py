"""Files that only the build itself reads: checked when they are taken up, not flushed to disk."""

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
def scratch_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends well.

    Unlike `contracts.atomic.atomic_path` this does not wait for the disk, which would take
    longer than the work. After a power failure the file may be damaged: its mark tells.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_mark(mark: Path, value: dict[str, Any], files: Sequence[Path] = ()) -> None:
    """Say that a task is done: what it found, and the hashes of the scratch files it left."""
    hashes = {str(path): _file_hash(path) for path in files}
    with scratch_path(mark) as temporary:
        temporary.write_text(json.dumps({"value": value, "files": hashes}), encoding="utf-8")


def read_mark(mark: Path) -> dict[str, Any] | None:
    """Read what a task found, or nothing when it is not done or its files are damaged."""
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
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
