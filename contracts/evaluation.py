"""What a model reaches on tasks: the results of a task, and the values of its items."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mixscale.contracts.atomic import write_json
from mixscale.contracts.config import Config, Count, read_json, validate

FOLDER = "evaluations"
"""In a run's folder, or beside other models: two files for each task."""


class Evaluation(Config):
    """One metric of a model on one task."""

    task: str
    metric: str
    """As lm-eval names it, with a filter's name behind it; `bpb` is in bits per byte of the right
    answer, or of the whole text where a task asks for that."""
    value: float
    stderr: float | None = None
    """Standard error over the items."""
    items: Count
    unit: str
    """`fraction`, `bits per byte`, `perplexity`, `nats`, or empty for a bare number."""
    higher_is_better: bool | None
    """None where neither the task nor the metric's name says it."""
    num_fewshot: Count = 0
    limit: float | None = None
    """The first so many items, or below 1 that share of them; all when null."""
    tokens: Count | None = None
    """Training tokens that the model had seen, where that is known."""
    settings: str
    """Hash of what was asked: the task with its data, few-shot examples, limit."""

    @property
    def name(self) -> str:
        """`metric:task`."""
        return f"{self.metric}:{self.task}"


class TaskResult(Config):
    """The file that says that a model was evaluated on a task."""

    format: Literal[1] = 1
    task: str
    model: str
    """Hash of the model: config, weights, tokenizer."""
    settings: str
    evaluations: tuple[Evaluation, ...] = Field(min_length=1)
    versions: dict[str, str]


class ItemValue(Config):
    """One metric of one item."""

    task: str
    metric: str
    item: Count
    """Number of the item in the task, from 0."""
    item_sha256: str
    """Hash of the item, by which those of two models are compared."""
    value: float
    weight: float
    """The metric's mean is weighted by it: bytes or words of the text, otherwise 1."""


def result_path(folder: str | Path, task: str, settings: str) -> Path:
    """Name the file of a task's result; with `.parquet` it holds the items."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", task)
    return Path(folder) / FOLDER / f"{plain}-{settings}.json"


def items_path(folder: str | Path, task: str, settings: str) -> Path:
    """Name the Parquet file with a row for each item and metric."""
    return result_path(folder, task, settings).with_suffix(".parquet")


def write_result(folder: str | Path, result: TaskResult) -> None:
    """Write a task's result, atomically."""
    write_json(result_path(folder, result.task, result.settings), result.model_dump(mode="json"))


def read_result(path: str | Path) -> TaskResult:
    """Read a task's result.

    Raises:
        UserError: The file is missing or no such result.
    """
    return validate(read_json(path), TaskResult, str(path))


def merged(old: Iterable[Evaluation], new: Sequence[Evaluation]) -> tuple[Evaluation, ...]:
    """Replace the results of the tasks that were evaluated anew; the others stay as they are."""
    by_task: dict[str, list[Evaluation]] = {}
    for evaluation in old:
        by_task.setdefault(evaluation.task, []).append(evaluation)
    for task in {evaluation.task for evaluation in new}:
        by_task[task] = []
    for evaluation in new:
        by_task[evaluation.task].append(evaluation)
    return tuple(one for name in sorted(by_task) for one in by_task[name])


def rows_of(values: Iterable[ItemValue]) -> dict[str, list[Any]]:
    """Give the columns of the Parquet file of items."""
    kept = list(values)
    return {name: [getattr(value, name) for value in kept] for name in ItemValue.model_fields}
