"""A training run that an executor is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.evaluate.task_request import TaskRequest

REFUSED = 2
"""Exit status of the process of a run whose config is wrong."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to do."""

    name: str
    config: RunConfig
    folder: Path
    """Gets the record, and what the run prints."""
    purpose: dict[str, Any]
    """Fields of the run record that state what the run is for: sweep, role, domain and so on."""
    tokens: int
    """For the progress bar, and to start long runs first."""
    tasks: TaskRequest | None = None
    """What the run's model is asked once it is trained."""


def check_gpus_per_run(share: float, gpus: float) -> None:
    """Refuse a share of a GPU that a run cannot get.

    Raises:
        UserError: It is no share, or there is no GPU.
    """
    if not 0 <= share <= 1:
        raise UserError(f"gpus_per_run: {share}; expected a share of one GPU, from 0 to 1")
    if share and not gpus:
        raise UserError(f"gpus_per_run: {share}, but there is no GPU; 0 trains on the processor")
