"""A file of a user replaced: what it was before is kept beside it."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

from mixscale.contracts.atomic import atomic_path
from mixscale.contracts.errors import UserError


def replace_file(path: Path, text: str, *, backup: bool) -> Path | None:
    """Write a text under a path, whole or not at all; links stay links, and modes stay.

    Args:
        path: The file, or a symbolic link to it, whose target is written then.
        text: All of it.
        backup: Keep what was there as `<name>.bak`, or the first of `<name>.bak.1`, `.bak.2` ...
            that is free: a backup is never replaced.

    Returns:
        The backup, if there is one.

    Raises:
        UserError: The file may not be written, or is none.
    """
    try:
        target = path.resolve(strict=False)
    except (OSError, RuntimeError) as error:  # Python 3.10 raises RuntimeError for a loop
        raise UserError(f"{path}: a symbolic link that leads to itself") from error
    if not target.is_file():
        if target.exists() or path.is_symlink():
            raise UserError(f"{path}: not a file")
        _write(target, text, like=None)
        return None
    if not os.access(target, os.W_OK):
        raise UserError(f"{path}: may not be written; change its mode, or write with --output")
    kept = _keep(path, target) if backup else None
    _write(target, text, like=target)
    return kept


def _keep(path: Path, target: Path) -> Path:
    names = itertools.chain(
        [f"{path.name}.bak"], (f"{path.name}.bak.{i}" for i in itertools.count(1))
    )
    for kept in map(path.with_name, names):
        if not os.path.lexists(kept):
            with atomic_path(kept) as temporary:
                shutil.copy2(target, temporary)
            return kept
    raise AssertionError("numbers do not end")


def _write(target: Path, text: str, like: Path | None) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
        if like is not None:
            shutil.copymode(like, temporary)
