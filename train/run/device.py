"""The device of a run with the precision that suits it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch
from composer.utils import dist

from mixscale.train.config import RunConfig


def choose_device() -> str:
    """Name the device as Composer does: `gpu` when there is one, else `cpu`."""
    return "gpu" if torch.cuda.is_available() else "cpu"


def choose_precision(config: RunConfig, device: str) -> str:
    """Take the config's precision, or the fastest that is safe on the device.

    On a CPU that is fp32: autocast to bf16 was measured 17 times slower on one without bf16 units.
    """
    if config.precision is not None:
        return config.precision
    if device == "cpu":
        return "fp32"
    return "amp_bf16" if torch.cuda.is_bf16_supported() else "amp_fp16"


def set_allocator(config: RunConfig) -> None:
    """Hand the config's wishes about GPU memory to CUDA, before it is used first."""
    wishes = []
    if config.expandable_segments:
        wishes.append("expandable_segments:True")
    if config.max_split_size_mb:
        wishes.append(f"max_split_size_mb:{config.max_split_size_mb}")
    if wishes:
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = ",".join(wishes)
    if config.cuda_load_lazy:
        os.environ["CUDA_MODULE_LOADING"] = "LAZY"


def describe_device(device: str) -> str:
    """Name the hardware for the run record."""
    name = torch.cuda.get_device_name() if device == "gpu" else _processor()
    count = dist.get_world_size()
    devices = f"{count} x {name}" if count > 1 else name
    return devices if device == "gpu" else f"{devices}, {torch.get_num_threads()} threads"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
