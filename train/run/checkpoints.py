"""Checkpoints that a killed run left unfinished."""

from __future__ import annotations

import re
from pathlib import Path

from mixscale.train.config import RunConfig

LATEST = "latest-rank0.pt"
_CHECKPOINT = re.compile(r"ep\d+-ba(\d+)-rank\d+\.pt")


def checkpoint_folder(config: RunConfig) -> Path | None:
    """Return the folder on this machine that a run saves its checkpoints in, if it does."""
    if config.save_folder is None or "://" in config.save_folder:
        return None
    return Path(config.save_folder.format(run_name=config.run_name))


def remove_unfinished(config: RunConfig) -> list[Path]:
    """Remove the checkpoints after the one that a run will resume from.

    Composer links `latest` to a checkpoint once that is written whole, and refuses to resume while
    a later one lies in the folder. A run that was killed while saving leaves just that.

    Returns:
        The files removed. Remote folders are left alone.
    """
    folder = checkpoint_folder(config)
    if not config.autoresume or folder is None:
        return []
    link = folder / LATEST
    resumed = _batch(Path(link.readlink()).name) if link.is_symlink() else -1
    unfinished = [path for path in folder.glob("ep*.pt") if _batch(path.name) > resumed]
    for path in unfinished:
        path.unlink()
    return unfinished


def _batch(name: str) -> int:
    found = _CHECKPOINT.fullmatch(name)
    return int(found[1]) if found else -1
