"""The tasks that a run of a sweep is asked at its end."""

from __future__ import annotations

from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RESULT, read_record
from mixscale.train.evaluate.evaluate_tasks import evaluate_tasks
from mixscale.train.evaluate.target import open_target
from mixscale.train.evaluate.task_request import TaskRequest
from mixscale.train.evaluate.tasks import load_tasks


def has_model(folder: Path) -> bool:
    """Whether a run has finished and kept its model, so that only tasks can be missing."""
    if not (folder / RESULT).is_file() or read_record(folder / RESULT).status != "finished":
        return False
    try:
        with open_target(folder):
            return True
    except UserError:
        return False


def ask_run(folder: Path, request: TaskRequest, places: int) -> None:
    """Ask the model of a finished run; the results go into its record.

    Args:
        folder: Of the run.
        request: The tasks.
        places: How many runs share the memory of the device.

    Raises:
        UserError: The model cannot be asked them.
    """
    with open_target(folder) as target:
        evaluate_tasks(target, load_tasks(request), folder, limit=request.limit, places=places)
