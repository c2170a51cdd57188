"""What tasks a model is asked, in words that need no lm-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixscale.contracts.errors import UserError

if TYPE_CHECKING:
    # Runs are started before numpy is loaded.
    from mixscale.contracts.experiment import Experiment
    from mixscale.contracts.run_record import RunRecord


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """What a model is asked."""

    tasks: tuple[str, ...]
    """Names of tasks, groups and tags of lm-eval, patterns of them, or YAML files."""
    include_path: str | None = None
    """Folder with YAML files of further tasks."""
    limit: float | None = None
    """The first so many items of each task, or below 1 that share of them."""
    num_fewshot: int | None = None
    """Examples before each item; what the task says when absent."""
    entries: bytes | None = field(default=None, compare=False, repr=False)
    """What lm-eval knows of these tasks, where it was looked up before: that takes long."""


def request_of(experiment: Experiment) -> TaskRequest | None:
    """Read what an experiment asks its runs at their end; None when it asks nothing."""
    asked = experiment.evaluation
    if not asked.tasks:
        return None
    return TaskRequest(
        tasks=task_names(asked.tasks),
        include_path=asked.include_path,
        limit=asked.limit,
        num_fewshot=asked.num_fewshot,
    )


def task_names(text: str | Sequence[str]) -> tuple[str, ...]:
    """Read names that are separated by commas.

    Raises:
        UserError: There is none.
    """
    listed = text.split(",") if isinstance(text, str) else text
    names = tuple(name.strip() for name in listed if name.strip())
    if not names:
        raise UserError("tasks: no name is given")
    return names


def was_asked(record: RunRecord, settings: Mapping[str, str]) -> bool:
    """Whether a run's record has the results of tasks as they are now.

    Args:
        record: Of the run.
        settings: By task, the hash of what is asked.
    """
    return set(settings.items()) <= {(one.task, one.settings) for one in record.evaluations}
