"""What a model reaches on tasks, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from mixscale.contracts.evaluation import Evaluation

_BETTER = {True: "higher", False: "lower", None: ""}


def task_table(title: str, evaluations: Sequence[Evaluation]) -> Table:
    """Draw the results of tasks: a row for each metric."""
    table = Table(title=title)
    for column in ("task", "metric"):
        table.add_column(column)
    for column in ("value", "standard error", "items", "few-shot"):
        table.add_column(column, justify="right")
    for column in ("unit", "better"):
        table.add_column(column)
    for one in evaluations:
        table.add_row(
            one.task,
            one.metric,
            f"{one.value:.4g}",
            "" if one.stderr is None else f"{one.stderr:.3g}",
            f"{one.items:,}",
            str(one.num_fewshot),
            one.unit,
            _BETTER[one.higher_is_better],
        )
    return table
