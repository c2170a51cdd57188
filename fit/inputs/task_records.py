"""Results of tasks in run records, beside the losses of validation domains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import TASK_METRICS, Objective
from mixscale.contracts.fit_record import ReadResult
from mixscale.contracts.run_record import RunRecord
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.columns import Choice, Result
from mixscale.fit.inputs.result_table import asked_results, each_once, losses_behind, own_names
from mixscale.fit.metrics.scale import scale_of


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Results of runs as laws see them."""

    names: tuple[str, ...]
    values: Floats
    """(runs, results)."""
    errors: Floats
    """(runs, results) standard errors in the same unit; nan where unknown."""
    results: tuple[ReadResult, ...] = ()
    """(results,) empty where all are losses."""
    behind: Floats | None = None
    behind_columns: tuple[str, ...] = ()


def with_tasks(
    records: Sequence[RunRecord], losses: Floats, errors: Floats, objective: Objective
) -> Measured:
    """The losses of the validation domains, and the tasks that an objective asks for.

    Args:
        records: Of the runs.
        losses, errors: (runs, validation) of the first record's validation domains.
        objective: Tasks count that are of its metric, or that it names (`acc:arc_easy`).

    Raises:
        UserError: A run was not evaluated on a task that counts, or which way is better of one is
            not known.
    """
    domains = tuple(records[0].evaluation)
    choice = Choice(
        drop=objective.drop,
        named=objective.named,
        metric=objective.metric if "metric" in objective.model_fields_set else None,
    )
    found = _found(records, domains)
    tasks = [result for result in found if not _is_domain(result)]
    of_tasks = objective.metric in TASK_METRICS or any(r.matches(choice.named) for r in tasks)
    if not of_tasks:
        kept = [i for i, name in enumerate(domains) if not found[i].matches(choice.drop)]
        if not kept:
            raise UserError("objective.drop leaves no result")
        return Measured(
            names=tuple(domains[i] for i in kept), values=losses[:, kept], errors=errors[:, kept]
        )
    left = [result for result in found if not result.matches(choice.drop)]
    asked = asked_results(left, choice, "the run records")
    if objective.metric not in TASK_METRICS:
        # What the objective names is what it is made of.
        asked = [result for result in asked if result.matches(choice.named)]
    chosen = own_names(each_once(asked, choice, {}))
    behind = losses_behind(chosen, left)
    reads = [_read(result) for result in chosen]
    pairs = [
        _column(records, result, read, losses, errors, domains)
        for result, read in zip(chosen, reads, strict=True)
    ]
    return Measured(
        names=tuple(result.name for result in chosen),
        values=np.column_stack([values for values, _ in pairs]),
        errors=np.column_stack([deviations for _, deviations in pairs]),
        results=tuple(reads),
        behind=_behind(records, chosen, behind, losses, errors, domains) if behind else None,
        behind_columns=tuple(behind[r.name].column if r.name in behind else "" for r in chosen),
    )


def _found(records: Sequence[RunRecord], domains: Sequence[str]) -> list[Result]:
    """Losses of validation domains first, then every metric of every task."""
    found = {
        f"loss:{domain}": Result(column=f"loss:{domain}", name=domain, metric="loss", word="loss")
        for domain in domains
    }
    for record in records:
        for entry in record.evaluations:
            column = f"{entry.metric}:{entry.task}"
            found.setdefault(
                column,
                Result(column=column, name=entry.task, metric=_kind(entry), word=entry.metric),
            )
    return list(found.values())


def _is_domain(result: Result) -> bool:
    return result.metric == "loss" and result.word == "loss"


def _kind(entry: Any) -> str:
    units = {"nats": "loss", "bits per byte": "bits_per_byte", "perplexity": "perplexity"}
    if entry.unit in units:
        return units[entry.unit]
    if entry.higher_is_better is None:
        return "unknown"
    if entry.unit == "fraction" and entry.value >= 0:
        return "accuracy" if entry.higher_is_better else "error"
    return "score" if entry.higher_is_better else "cost"


def _read(result: Result) -> ReadResult:
    if result.metric == "unknown":
        raise UserError(
            f"{result.column}: neither the task nor the metric's name says whether more or less is "
            "better, and a fit the wrong way round would give the worst mixture; say it in the "
            "task's YAML (higher_is_better), evaluate again, or leave it out with objective.drop"
        )
    part = result.metric in ("accuracy", "error")
    units = {"loss": "nats per token", "bits_per_byte": "bits per byte", "perplexity": "perplexity"}
    return ReadResult(
        column=result.column,
        metric=result.metric,
        unit="fraction" if part else units.get(result.metric, ""),
        higher_is_better=result.metric in ("accuracy", "score"),
        low=0.0 if part else None,
        high=1.0 if part else None,
    )


def _column(
    records: Sequence[RunRecord],
    result: Result,
    read: ReadResult,
    losses: Floats,
    errors: Floats,
    domains: Sequence[str],
) -> tuple[Floats, Floats]:
    """(runs,) what laws see of a result, and its standard errors."""
    if _is_domain(result):
        place = domains.index(result.column.partition(":")[2])
        return losses[:, place], errors[:, place]
    entries = [_entry(record, result) for record in records]
    scale = scale_of(read)
    values = scale.fitted(np.array([entry.value for entry in entries], dtype=np.float64))
    stderr = np.array(
        [np.nan if entry.stderr is None else entry.stderr for entry in entries], dtype=np.float64
    )
    return values, stderr / np.maximum(np.abs(scale.slope(values)), 1e-9)


def _entry(record: RunRecord, result: Result) -> Any:
    for entry in record.evaluations:
        if f"{entry.metric}:{entry.task}" == result.column:
            return entry
    raise UserError(
        f"run {record.run_id} was not evaluated on {result.column}, which the objective asks for; "
        f"`mixscale evaluate` does it, or leave it out with objective.drop"
    )


def _behind(
    records: Sequence[RunRecord],
    chosen: Sequence[Result],
    behind: dict[str, Result],
    losses: Floats,
    errors: Floats,
    domains: Sequence[str],
) -> Floats:
    """(runs, results) losses of the same tasks; nan where there is none of some run."""
    columns = np.full((len(records), len(chosen)), np.nan)
    for k, result in enumerate(chosen):
        loss = behind.get(result.name)
        if loss is None:
            continue
        measured = {f"{e.metric}:{e.task}" for record in records for e in record.evaluations}
        everywhere = all(
            any(f"{e.metric}:{e.task}" == loss.column for e in record.evaluations)
            for record in records
        )
        if _is_domain(loss) or (loss.column in measured and everywhere):
            columns[:, k] = _column(records, loss, _read(loss), losses, errors, domains)[0]
    return columns
