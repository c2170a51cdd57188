"""Runs that cannot work are refused here, before Composer is loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.train.config import LOSS_METRIC, ONLY_LABEL, RunConfig

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
    _check_load_path(config.first_checkpoint)
    _check_stoppers(config)
    _check_algorithms(config)
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


_STORES = ("s3", "gs", "oci", "azure", "dbfs")
"""Object stores that Composer saves to."""


def _check_store(key: str, address: str | None) -> None:
    store, is_address, _ = (address or "").partition("://")
    if is_address and store not in _STORES:
        raise UserError(
            f"{key}: {address}: Composer has no store {store!r}; it knows "
            f"{', '.join(f'{name}://' for name in _STORES)}, and folders"
        )


def _check_save_folder(config: RunConfig) -> None:
    if config.save_folder is None:
        return
    _check_store("save_folder", config.save_folder)
    fields = re.findall(r"{(.*?)}", config.save_folder)
    if set(fields) - {"run_name"}:
        raise UserError(
            f"save_folder: {config.save_folder!r}; of what stands in braces only {{run_name}} is "
            "known"
        )
    if fields and config.run_name is None:
        raise UserError(
            f"save_folder: {config.save_folder!r} holds the run's name, but there is no "
            "`run_name`, nor RUN_NAME in the environment"
        )


def _check_load_path(load_path: str | None) -> None:
    _check_store("load_path", load_path)
    if load_path is not None and "://" not in load_path and not Path(load_path).exists():
        raise UserError(
            f"load_path: {load_path} is missing; relative paths count from the current folder "
            f"({Path.cwd()})"
        )


def _check_stoppers(config: RunConfig) -> None:
    """Refuse callbacks that wait for what is never measured, and would not stop a run.

    Composer itself complains at the end of the first epoch, which is that of most runs.
    """
    labels = {loader.label or ONLY_LABEL for loader in config.eval_loader}
    for name in ("early_stopper", "threshold_stopper"):
        arguments = config.callbacks.get(name) or {}
        for key, known in (("dataloader_label", labels), ("monitor", {LOSS_METRIC})):
            value = arguments.get(key)
            if value is not None and value not in known:
                raise unknown_name(f"callbacks.{name}.{key}", str(value), known)


_IMPOSSIBLE_ALGORITHMS = {
    "alibi": (
        "Composer's ALiBi replaces an attention that transformers no longer has; take a model with "
        "ALiBi of its own, such as `mpt` or `bloom`"
    ),
    "label_smoothing": (
        "the model makes its loss of the tokens themselves, so there are no targets to smooth, and "
        "smoothed losses could not be compared with those of other runs; remove it"
    ),
    "seq_length_warmup": (
        "it cuts samples whose tokens are counted already, so that a run would see fewer than its "
        "token budget; remove it, or train on a shard set with a smaller `sequence_length`"
    ),
}
"""Algorithms of Composer that language models on streams of domains cannot take, and why."""


def _check_algorithms(config: RunConfig) -> None:
    for name, why in _IMPOSSIBLE_ALGORITHMS.items():
        if name in config.algorithms:
            raise UserError(f"algorithms.{name}: {why}")


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
