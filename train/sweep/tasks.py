"""The tasks that the runs of a sweep are asked at their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment
from mixscale.runtime.extras import require
from mixscale.train.config import MASKED
from mixscale.train.evaluate.task_request import TaskRequest, request_of


@dataclass(frozen=True, kw_only=True)
class AskedTasks:
    """Tasks that were found, with their data."""

    request: TaskRequest
    settings: Mapping[str, str]
    """By task, the hash of what is asked."""
    items: Mapping[str, int]
    """By task, how many."""
    warnings: Sequence[str] = ()


def tasks_of(experiment: Experiment) -> AskedTasks | None:
    """Find the tasks of an experiment before its first run; None when it has none.

    Raises:
        UserError: A task is unknown or its data is not there, the model cannot be asked tasks, or
            lm-eval is not installed.
    """
    request = request_of(experiment)
    if request is None:
        return None
    model = experiment.run.get("model")
    if isinstance(model, Mapping) and model.get("name") == MASKED:
        raise UserError(
            f"experiment {experiment.name!r}: evaluation.tasks: {MASKED} gives a text no "
            "probability, which tasks ask for; every run has its masked loss and accuracy without"
        )
    require("eval", "evaluation.tasks")
    from mixscale.train.evaluate.tasks import load_tasks

    loaded = load_tasks(request)
    return AskedTasks(
        request=replace(request, entries=loaded.entries),
        settings=loaded.settings,
        items={task.name: task.items for task in loaded.tasks},
        warnings=[line for task in loaded.tasks for line in task.warnings],
    )
