"""Checkpoints in an object store, looked at before anything is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from composer.utils import ObjectStore, maybe_create_object_store_from_uri, parse_uri

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.data.streams import CREDENTIALS

LATEST = "latest-rank0.pt"


def remote_folder(config: RunConfig) -> str | None:
    """Return the address of the folder in an object store that a run saves to, if it does."""
    if config.save_folder is None or "://" not in config.save_folder:
        return None
    return config.save_folder.format(run_name=config.run_name).rstrip("/")


def check_remote_checkpoints(config: RunConfig) -> None:
    """Refuse object stores that cannot be used, and checkpoints that would be in the way.

    Raises:
        UserError: A store cannot be reached, `load_path` is not in it, or `save_folder` has the
            checkpoints of an earlier run.
    """
    if config.first_checkpoint and "://" in config.first_checkpoint:
        with _opened("load_path", config.first_checkpoint) as (store, name):
            store.get_object_size(name)
    folder = remote_folder(config)
    if folder is None:
        return
    with _opened("save_folder", folder) as (store, name):
        names = {PurePosixPath(found).name for found in store.list_objects(f"{name}/")}
    taken = sorted(name for name in names if name.startswith("ep") and name.endswith(".pt"))
    if taken and not config.autoresume and not config.save_overwrite:
        raise UserError(taken_folder(folder, taken[-1]))


def resumes_remotely(config: RunConfig) -> bool:
    """Whether a run goes on from a checkpoint in an object store, whatever its `load_path` is."""
    folder = remote_folder(config)
    if folder is None or not config.autoresume:
        return False
    with _opened("save_folder", folder) as (store, name):
        link = f"{name}/{LATEST}.symlink"
        return link in store.list_objects(link)


def taken_folder(folder: str | Path, checkpoint: str) -> str:
    """Say that a folder holds another run's checkpoints, and the ways out."""
    return (
        f"save_folder: {folder} has the checkpoints of an earlier run ({checkpoint}); choose "
        "another folder (`{run_name}` in it stands for the run's name), write over them with "
        "`save_overwrite: true`, or go on from the last with `autoresume: true` and a `run_name`"
    )


@contextlib.contextmanager
def without_old_download(config: RunConfig) -> Iterator[None]:
    """Remove the copy of the last checkpoint that Composer downloads when a run goes on.

    It lies below the current folder, under the address as a path. Left there, Composer would take
    it for the last checkpoint at the next resumption, too.
    """
    folder = remote_folder(config)
    if folder is None or not config.autoresume:
        yield
        return
    copy = Path(folder) / LATEST
    copy.unlink(missing_ok=True)
    try:
        yield
    finally:
        copy.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another run has its copy there
            for parent in (copy.parent, *copy.parent.parents)[:-1]:
                parent.rmdir()


@contextlib.contextmanager
def _opened(key: str, address: str) -> Iterator[tuple[ObjectStore, str]]:
    """Open the store of an address; whatever its client raises becomes one message."""
    try:
        store = maybe_create_object_store_from_uri(address)
        assert store is not None
        yield store, parse_uri(address)[2].rstrip("/")
    except FileNotFoundError as error:
        raise UserError(f"{key}: {address} is missing{CREDENTIALS}") from error
    # The client of each store has exceptions of its own.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UserError(
            f"{key}: {address}: {type(error).__name__}: {reason}{CREDENTIALS}"
        ) from error
