"""Runs that cannot work are refused here, before Composer is loaded."""

from __future__ import annotations

import os
import re

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.train.config import ONLY_LABEL, RunConfig

_LONGEST_NAME_BYTES = 200
"""A file name has 255 at most, and the hash comes after it."""


def check_run(config: RunConfig, gpus: int | None) -> None:
    """Refuse what no run on this machine can do.

    Args:
        config: The run.
        gpus: GPUs that the run can have; None when that is not known here.

    Raises:
        UserError: Names key and value, and the way out.
    """
    _check_name(config.run_name)
    _check_save_folder(config)
    _check_stoppers(config)
    if config.device_train_microbatch_size == "auto" and not config.fsdp_config:
        raise UserError(
            "device_train_microbatch_size: Composer finds it itself (`auto`) only with "
            "`fsdp_config`; give a number"
        )
    if gpus == 0:
        _check_without_gpu(config)


def _check_name(name: str | None) -> None:
    if name is None:
        return
    wrong = name in ("", ".", "..") or re.search(r"[/\\\x00-\x1f]", name) or name != name.strip()
    if wrong or len(name.encode()) > _LONGEST_NAME_BYTES:
        raise UserError(
            f"run_name: {name!r} cannot name a folder; use a name without slashes, control "
            f"characters or spaces around it, of at most {_LONGEST_NAME_BYTES} bytes. `--out` and "
            "`save_folder` choose where files go"
        )


def _check_save_folder(config: RunConfig) -> None:
    if config.save_folder is None:
        return
    fields = re.findall(r"{(.*?)}", config.save_folder)
    if set(fields) - {"run_name"}:
        raise UserError(
            f"save_folder: {config.save_folder!r}; of what stands in braces only {{run_name}} is "
            "known"
        )
    if fields and config.run_name is None:
        raise UserError(
            f"save_folder: {config.save_folder!r} holds the run's name, but there is no `run_name`"
        )


def _check_stoppers(config: RunConfig) -> None:
    """Refuse callbacks that wait for a loader that there is not, and would never stop a run."""
    labels = {"train", *(loader.label or ONLY_LABEL for loader in config.eval_loader)}
    for name in ("early_stopper", "threshold_stopper"):
        label = (config.callbacks.get(name) or {}).get("dataloader_label")
        if label is not None and label not in labels:
            raise unknown_name(f"callbacks.{name}.dataloader_label", str(label), labels)


def _check_without_gpu(config: RunConfig) -> None:
    wrong = []
    if config.precision not in (None, "fp32"):
        wrong.append(
            f"precision: {config.precision} needs a GPU, and none is visible here; use fp32, or "
            "leave the key out: then the device decides"
        )
    if config.fsdp_config and os.environ.get("FSDP_VERSION") != "2":
        wrong.append(
            "fsdp_config: sharding a model needs GPUs, and none is visible here; leave the key "
            "out, or set FSDP_VERSION=2 in the environment to try it on the processor"
        )
    if config.model.attn_implementation == "flash_attention_2":
        wrong.append(
            "model.attn_implementation: flash_attention_2 needs a GPU, and none is visible here; "
            "use sdpa"
        )
    if wrong:
        raise UserError("\n".join([*wrong, _FOR_A_PROCESSOR]))


_FOR_A_PROCESSOR = (
    "To train on the processor with the file as it is, in fp32 and not sharded: "
    "`mixscale train --cpu`; in an experiment, leave these keys out"
)
