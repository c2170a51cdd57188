"""What of a config this machine cannot give effect to, and the same config for a processor."""

from __future__ import annotations

import importlib.util
import os

from mixscale.train.config import RunConfig

_ALLOCATOR_KEYS = ("expandable_segments", "max_split_size_mb", "cuda_load_lazy")
_WORTH_SHARDING_FOR = ("activation_checkpointing", "activation_cpu_offload", "cpu_offload")
"""Settings of FSDP that save memory on a single device, too."""


def for_processor(config: RunConfig) -> RunConfig:
    """Change a config that was written for GPUs so that it trains on the processor.

    It computes the same in fp32, and is not sharded.
    """
    model = config.model
    if model.attn_implementation == "flash_attention_2":
        model = model.model_copy(update={"attn_implementation": "sdpa"})
    size = config.device_train_microbatch_size
    return config.model_copy(
        update={
            "precision": None if config.precision is None else "fp32",
            "fsdp_config": None,
            "device_train_microbatch_size": None if size == "auto" else size,
            "model": model,
        }
    )


def is_trial_without_gpu(config: RunConfig, gpus: int | None, devices: int) -> bool:
    """Whether a file for several GPUs is tried on a machine that has none.

    `fsdp_config` tells: a whole file was written for other hardware, as all of LLM Foundry's are,
    its own for a processor (`mpt-small-cpu.yaml`) among them, and LLM Foundry leaves the key out
    there. Half precision alone is a wish for this machine, which it cannot grant.

    Args:
        config: The run.
        gpus: GPUs that it can have; None when that is not known.
        devices: Devices that Composer's launcher has started it on; several were meant as such.
    """
    if not config.fsdp_config or gpus != 0 or devices > 1:
        return False
    return not _is_sharded_on_trial()


def changes_for_processor(config: RunConfig) -> list[str]:
    """Say what `for_processor` changes, key by key."""
    changed = for_processor(config)
    found = []
    if changed.precision != config.precision:
        found.append(f"precision: {config.precision} becomes fp32")
    if config.fsdp_config:
        found.append("fsdp_config is left out")
    if changed.device_train_microbatch_size != config.device_train_microbatch_size:
        found.append("device_train_microbatch_size: auto becomes the whole batch")
    if changed.model.attn_implementation != config.model.attn_implementation:
        found.append("model.attn_implementation: flash_attention_2 becomes sdpa")
    return found


def is_sharded(config: RunConfig, devices: int) -> bool:
    """Whether `fsdp_config` is followed; over one device there is nothing to shard.

    LLM Foundry leaves it out there, too. What needs FSDP for another reason keeps it.
    """
    wanted = config.fsdp_config
    if not wanted:
        return False
    saves = any(wanted.get(key) for key in _WORTH_SHARDING_FOR)
    if devices > 1 or saves or config.device_train_microbatch_size == "auto":
        return True
    return _is_sharded_on_trial()


def _is_sharded_on_trial() -> bool:
    """Whether FSDP is to be tried without GPUs, or on a single one."""
    return os.environ.get("FSDP_VERSION") == "2"


def devices_of_run() -> int:
    """Count the devices that Composer's launcher has started this run on."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def without_effect(config: RunConfig, gpus: int | None, devices: int) -> str | None:
    """Say which keys of a config change nothing on this machine.

    Args:
        config: The run.
        gpus: GPUs that it can have; None when that is not known.
        devices: Devices that it is on.

    Returns:
        One line; None when every key has its effect.
    """
    found = []
    if config.model.init_device != "cpu":
        found.append(
            f"model.init_device: {config.model.init_device} (the weights are made on the processor "
            "of each device, and are the same)"
        )
    if config.fsdp_config and not is_sharded(config, devices):
        found.append("fsdp_config (over one device there is nothing to shard)")
    if config.model.use_flash_attention_2 and (gpus == 0 or not _has_flash_attention()):
        found.append("model.use_flash_attention_2 (it cannot be had; sdpa computes the same)")
    if gpus == 0:
        keys = [key for key in _ALLOCATOR_KEYS if getattr(config, key)]
        keys += ["train_loader.pin_memory"] if config.train_loader.pin_memory else []
        found += [f"{', '.join(keys)} (without a GPU)"] if keys else []
    loader = config.train_loader
    if not loader.num_workers:
        keys = [
            key
            for key in ("prefetch_factor", "persistent_workers", "timeout")
            if getattr(loader, key)
        ]
        named = ", ".join(f"train_loader.{key}" for key in keys)
        found += [f"{named} (without num_workers)"] if keys else []
    return f"without effect here: {'; '.join(found)}" if found else None


def _has_flash_attention() -> bool:
    return importlib.util.find_spec("flash_attn") is not None
