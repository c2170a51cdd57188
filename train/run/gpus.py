"""The GPUs of this machine, counted without importing torch."""

from __future__ import annotations

import os
from pathlib import Path


def visible_gpus() -> int:
    """Count the GPUs that a run would see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len(visible.split(",")) if visible else 0
    return sum(1 for path in Path("/dev").glob("nvidia[0-9]*"))
