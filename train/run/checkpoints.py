"""The checkpoints of a run: which one it goes on from, and what killed runs left."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.run.callbacks import CheckpointOwner
from mixscale.train.run.remote_checkpoints import (
    LATEST,
    check_remote_checkpoints,
    taken_folder,
)
from mixscale.train.run.resume import Identity, check_same_run

_CHECKPOINT = re.compile(r"ep\d+-ba(\d+)-rank\d+\.pt")


def checkpoint_folder(config: RunConfig) -> Path | None:
    """Return the folder on this machine that a run saves its checkpoints in, if it does."""
    if config.save_folder is None or "://" in config.save_folder:
        return None
    return Path(config.save_folder.format(run_name=config.run_name))


def remove_unfinished(config: RunConfig) -> list[Path]:
    """Remove the checkpoints after the one that a run will resume from.

    Composer links `latest` to a checkpoint once that is written whole, and refuses to resume while
    a later one lies in the folder. A run that was killed while saving leaves just that. When the
    checkpoint that `latest` points to was deleted, the one before it takes its place.

    Returns:
        The files removed. Remote folders are left alone.
    """
    folder = checkpoint_folder(config)
    if not config.autoresume or folder is None:
        return []
    link = folder / LATEST
    resumed = _batch(Path(link.readlink()).name) if link.is_symlink() else -1
    checkpoints = sorted(folder.glob("ep*.pt"), key=lambda path: _batch(path.name))
    whole = [path for path in checkpoints if _batch(path.name) <= resumed]
    if link.is_symlink() and not link.exists():
        link.unlink()
        if whole:
            link.symlink_to(whole[-1].name)
    unfinished = [path for path in checkpoints if path not in whole]
    for path in unfinished:
        path.unlink()
    return unfinished


def check_checkpoints(config: RunConfig, identity: Identity) -> None:
    """Refuse, before anything is trained, checkpoints that this run cannot go on from or beside.

    Args:
        config: The run.
        identity: Of the run; the checkpoint that it resumes must have the same.

    Raises:
        UserError: A checkpoint is missing, damaged or another run's; the folder is in use.
    """
    check_remote_checkpoints(config)
    folder = checkpoint_folder(config)
    latest = None if folder is None else folder / LATEST
    if config.autoresume and latest is not None and latest.is_file():
        place = str(latest.resolve())
        state = _read(latest.resolve(), "autoresume", f"delete {place}: the run then goes on from "
                      "the checkpoint before it, or from its beginning")  # fmt: skip
        callbacks = state.get("callbacks", {})
        check_same_run(CheckpointOwner.identity_in(callbacks), identity, place)
    elif config.first_checkpoint and "://" not in config.first_checkpoint:
        _check_load_path(config.first_checkpoint)
    if folder is not None and not config.autoresume and not config.save_overwrite:
        _check_unused(folder)


def _check_load_path(load_path: str) -> None:
    path = Path(load_path)
    if path.is_file():
        _read(path, "load_path", "give a checkpoint that Composer has saved")
    elif not (path / ".metadata").is_file():
        raise UserError(
            f"load_path: {load_path} is a folder; give a checkpoint file of Composer. A Hugging "
            "Face folder goes to `model.pretrained_model_name_or_path`, with `pretrained: true`"
        )


def _check_unused(folder: Path) -> None:
    taken = sorted(path.name for path in folder.glob("ep*.pt") if _batch(path.name) >= 0)
    if taken:
        raise UserError(taken_folder(folder, taken[-1]))


def _read(path: Path, key: str, way_out: str) -> dict[str, Any]:
    """Read the state of a checkpoint; its tensors stay on the disk."""
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=False)["state"]
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError,
            pickle.UnpicklingError) as error:  # fmt: skip
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{key}: {path} is damaged or no checkpoint of Composer ({reason}); {way_out}"
        ) from error


def _batch(name: str) -> int:
    found = _CHECKPOINT.fullmatch(name)
    return int(found[1]) if found else -1
