"""What libraries raise about a user's config or machine, said in the keys of the config."""

from __future__ import annotations

import errno
import inspect
import re
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig, to_plain
from mixscale.train.run.components import (
    ALGORITHMS,
    CALLBACKS,
    LOGGERS,
    OPTIMIZERS,
    SCHEDULERS,
)

_PACKAGE = Path(__file__).resolve().parents[2]
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DISK_WORDS = re.compile(r"No space left|PytorchStreamWriter failed|unexpected pos \d+ vs")
_KEYS_BY_PLACE = {
    "composer/utils/object_store": ("save_folder", "load_path"),
    "composer/loggers/remote_uploader_downloader": ("save_folder",),
    "composer/callbacks/checkpoint_saver": ("save_folder", "save_interval"),
    "composer/utils/checkpoint": ("load_path", "save_folder"),
    "composer/utils/file_helpers": ("load_path", "save_folder"),
    "torch/distributed/fsdp": ("fsdp_config",),
    "composer/distributed": ("fsdp_config",),
    "torch/_inductor": ("compile_config",),
    "torch/_dynamo": ("compile_config",),
    "transformers/models": ("model",),
    "streaming/base/batching": ("train_loader.dataset.batching_method",),
    "streaming/base/shuffle": ("train_loader.dataset.shuffle_algo",),
    "streaming": ("train_loader.dataset",),
    "torch/utils/data": ("train_loader.num_workers",),
}
"""Where in a library an error is raised, and the keys that lead there. The first that the config
sets is named."""


_PACKAGES_OF_A_RUN = ("composer", "streaming", "transformers", "tokenizers", "torch/utils/data")
"""Where an error comes from the config, even if no key is known to lead there."""


def mistake_of(error: BaseException, config: RunConfig) -> UserError | None:
    """Say an error of a library in the keys of the config.

    Returns:
        None when the error is a bug: raised by our own code, or with no key that leads there.
    """
    if isinstance(error, UserError):
        return error
    message = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if is_full_disk(error):
        place = getattr(error, "filename", None) or config.save_folder or "the run's folder"
        return UserError(
            f"{place}: cannot write: {message}. The disk is full or a limit is reached; free some "
            "space (`save_num_checkpoints_to_keep: 1` keeps the last checkpoint alone) and run "
            "the same command again"
        )
    frames = list(_frames(error))
    if not frames or _is_ours(frames[-1]):
        return None
    key = _component(frames, config) or _key_of_value(message, config) or _key(frames, config)
    if key is None:
        place = Path(frames[-1].f_code.co_filename).as_posix()
        if not any(f"/{package}/" in place for package in _PACKAGES_OF_A_RUN):
            return None
        return UserError(f"the config: {type(error).__name__}: {message}")
    value = _value(to_plain(config), key)
    return UserError(f"{key}: {_short(value)}: {type(error).__name__}: {message}")


def is_full_disk(error: BaseException) -> bool:
    """Whether something could not be written for lack of space."""
    if isinstance(error, OSError) and error.errno in _DISK:
        return True
    return isinstance(error, RuntimeError | OSError) and bool(_DISK_WORDS.search(str(error)))


def _frames(error: BaseException) -> Iterator[FrameType]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield frame


def _is_ours(frame: FrameType) -> bool:
    return Path(frame.f_code.co_filename).resolve().is_relative_to(_PACKAGE) and (
        "site-packages" not in frame.f_code.co_filename.removeprefix(str(_PACKAGE))
    )


def _component(frames: list[FrameType], config: RunConfig) -> str | None:
    """Find the innermost of the config's components that the error went through."""
    kinds: list[tuple[str, Mapping[str, Any], Any]] = [
        ("algorithms", ALGORITHMS, config.algorithms),
        ("callbacks", CALLBACKS, config.callbacks),
        ("loggers", LOGGERS, config.loggers),
        ("optimizer", OPTIMIZERS, [config.optimizer.name]),
        ("scheduler", SCHEDULERS, [config.scheduler.name]),
    ]
    for frame in reversed(frames):
        owner = frame.f_locals.get("self")
        if "/composer/trainer/" in Path(frame.f_code.co_filename).as_posix():
            # An optimizer's step calls the trainer, which calls the model: that is deeper.
            kinds = [kind for kind in kinds if kind[0] != "optimizer"]
        for kind, registry, names in kinds:
            for name in names:
                made = registry.get(name)
                if inspect.isclass(made) and isinstance(owner, made):
                    return kind if kind in ("optimizer", "scheduler") else f"{kind}.{name}"
                if made is None and name.rpartition(".")[2] == type(owner).__name__:
                    return f"{kind}.{name}"
    return None


def _key_of_value(message: str, config: RunConfig) -> str | None:
    """Find the interval or duration whose value the message repeats."""
    values = to_plain(config)
    for key in ("max_duration", "eval_interval", "save_interval", "console_log_interval"):
        value = str(values.get(key, ""))
        if not value.isdecimal() and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", message):
            return key
    return None


def _key(frames: list[FrameType], config: RunConfig) -> str | None:
    values = to_plain(config)
    for frame in reversed(frames):
        file = Path(frame.f_code.co_filename).as_posix()
        for place, keys in _KEYS_BY_PLACE.items():
            if f"/{place}" in file:
                given = [key for key in keys if _value(values, key) is not None]
                if given:
                    return given[0]
    return None


def _value(values: Any, key: str) -> Any:
    """Look up a key written with dots; the name of a component may itself hold some."""
    first, _, rest = key.partition(".")
    if not isinstance(values, dict):
        return None
    if key in values or not rest:
        return values.get(key, values.get(first))
    return _value(values.get(first), rest)


def _short(value: object, most: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
