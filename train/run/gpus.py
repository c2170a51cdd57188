"""The GPUs of this machine, counted without importing torch."""

from __future__ import annotations

import os
from pathlib import Path

_DEVICES = ("nvidia[0-9]*", "dxg", "kfd")
"""Files in /dev of GPUs: NVIDIA's, those of WSL, AMD's."""


def visible_gpus() -> int:
    """Count the GPUs that a run would see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return sum(1 for _ in Path("/dev").glob(_DEVICES[0]))
    if not any(True for kind in _DEVICES for _ in Path("/dev").glob(kind)):
        return 0
    # CUDA reads the list up to the first device that cannot be: -1 hides them all.
    names = [name.strip() for name in visible.split(",")]
    return next((number for number, name in enumerate(names) if name in ("", "-1")), len(names))
