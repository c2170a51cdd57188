"""A table of results: which columns they are, in which unit, and which way is better."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import ReadResult
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.cells import is_numeric, numbers
from mixscale.fit.inputs.columns import (
    BETTER_LOWER,
    BOUNDED,
    DOMAIN_PREFIXES,
    LOSSES,
    TRAINING,
    Choice,
    Result,
    Table,
    bare_result_of,
    matching,
    rank_of,
    result_of,
    role_of,
)
from mixscale.fit.metrics.scale import scale_of

_SUMMARIES = ("mean", "avg", "average", "overall", "total", "all", "macro", "macro_avg")
"""Names of what sums up the other results, and would count them twice."""
_LARGEST_LOSS = 20.0
"""Nats: more than the log of any vocabulary, so no loss of a model that has learnt anything."""
_PERCENT_FROM = 10.0
"""A number of unknown bounds of which more is better, above this and never above 100, is taken to
be in percent: that keeps predictions below 100, and does nothing else."""
_APART = 1.5
"""By what factor values above 1 lie above those that never are, where a table holds two kinds."""
_UNITS = {
    "loss": "nats per token",
    "": "nats per token",
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
}
_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Results:
    """Results to fit laws to."""

    columns: tuple[Result, ...]
    """Each with a name of its own."""
    ignored: dict[str, str]
    """Why, by column left aside."""
    behind: dict[str, Result]
    """By name of a score, the loss of the same task, which the score may follow."""


def results_of(losses: Table, where: str, choice: Choice, domains: Collection[str] = ()) -> Results:
    """The results' columns, each validation domain or task once, and why others are left aside.

    Raises:
        UserError: A pattern matches nothing, or which way is better cannot be told of a column.
    """
    found, ignored = _candidates(losses, where, choice)
    found = [_directed(result, losses, choice) for result in found]
    _check_patterns(found, losses, choice)
    dropped = [result for result in found if result.matches(choice.drop)]
    ignored |= {result.column: "dropped" for result in dropped}
    found = [result for result in found if result not in dropped]
    if not found:
        raise UserError(f"{where}: --drop leaves no result")
    taken = asked_results(found, choice, where)
    named = each_once(taken, choice, ignored)
    _check_directions(named, losses, choice, where, domains)
    _check_one_unit(named, choice, where)
    for result in found:
        if result not in taken:
            ignored.setdefault(result.column, _why_not(result, taken))
    names = own_names(named)
    used = {result.column for result in names} | set(ignored)
    behind = losses_behind(names, found)
    ignored = {
        column: why
        for column, why in ignored.items()
        if column not in {result.column for result in behind.values()}
    }
    return Results(
        columns=tuple(names), ignored=ignored | _without_result(losses, used), behind=behind
    )


def _candidates(losses: Table, where: str, choice: Choice) -> tuple[list[Result], dict[str, str]]:
    """Every column that may be a result."""
    if choice.results:
        chosen = matching(choice.results, losses, "--results")
        return [
            result_of(c) or bare_result_of(c) or Result(column=c, name=c, metric="") for c in chosen
        ], {}
    found = [
        result
        for column, cells in losses.items()
        if role_of(column) is None
        and is_numeric(cells)
        and (result := result_of(column)) is not None
    ]
    ignored = _no_results(found)
    found = [result for result in found if result.column not in ignored]
    known = {result.column for result in found}
    found += [
        Result(column=column, name=column, metric="")
        for column, cells in losses.items()
        if column not in known
        and is_numeric(cells)
        and Result(column=column, name=column, metric="").matches(choice.higher + choice.lower)
    ]
    if not found:
        found = _unnamed_results(losses, where, ignored)
    order = {column: i for i, column in enumerate(losses)}
    return sorted(found, key=lambda result: order[result.column]), ignored


def _directed(result: Result, losses: Table, choice: Choice) -> Result:
    """A result with the direction that an option gives it."""
    higher, lower = result.matches(choice.higher), result.matches(choice.lower)
    if higher and lower:
        raise UserError(
            f"{result.column}: --higher-is-better and --lower-is-better both name it; leave one out"
        )
    if not (higher or lower) or (lower and result.metric in BETTER_LOWER):
        return result
    if higher and result.metric in ("accuracy", "score"):
        return result
    values = numbers(losses[result.column])
    largest = float(np.nanmax(values, initial=0.0))
    inside = bool(np.nanmin(values, initial=0.0) >= 0) and largest <= 100
    if result.metric == "accuracy":
        return replace(result, metric="error")
    if lower:
        return replace(result, metric="" if result.metric == "" else "cost")
    part = inside and (largest <= 1 or largest > _PERCENT_FROM)
    return replace(result, metric="accuracy" if part else "score")


def _check_patterns(found: Sequence[Result], losses: Table, choice: Choice) -> None:
    """Refuse patterns that name no result."""
    options = {
        "--higher-is-better": choice.higher,
        "--lower-is-better": choice.lower,
        "--drop": choice.drop,
    }
    for option, patterns in options.items():
        for pattern in patterns:
            if not any(result.matches((pattern,)) for result in found):
                names = ", ".join(result.column for result in found[:_NAMED])
                raise UserError(f"{option} {pattern}: no such result; there are {names}")


def asked_results(found: Sequence[Result], choice: Choice, where: str) -> list[Result]:
    """The results to fit: those of the objective's metric, and those that it names.

    Without a metric losses come first, as a mixing law is made for them, then scores; what else the
    objective names then stands alone.
    """
    if choice.results:
        return list(found)
    wanted = [result for result in found if result.matches(choice.named)]
    groups: dict[str, list[Result]] = {}
    for result in found:
        groups.setdefault("loss" if result.metric in LOSSES else result.metric, []).append(result)
    if choice.metric is None:
        group = next(
            (groups[name] for name in ("loss", "accuracy", "error", "score", "cost", "unknown")
             if name in groups), []
        )  # fmt: skip
        tasks = {result.name for result in group}
        wanted = [
            result
            for result in wanted
            if result in group
            or _by_metric(result, choice)
            or (result.name in choice.named and result.name not in tasks)
        ]
        # Weights of some losses leave the others to be predicted; names of scores ask for scores.
        group = [] if any(result not in group for result in wanted) else group
    else:
        group = groups.get("loss" if _is_of_loss(choice.metric) else choice.metric, [])
        if not group and not wanted:
            raise UserError(
                f"{where}: objective.metric {choice.metric}: no such result; there are "
                f"{', '.join(result.column for result in found[:_NAMED])}"
            )
    return [result for result in found if result in group or result in wanted]


def _is_of_loss(metric: str) -> bool:
    return metric not in ("accuracy", "error", "score", "cost")


def each_once(taken: Sequence[Result], choice: Choice, ignored: dict[str, str]) -> list[Result]:
    """One loss and one score of each task, the preferred one, with all that are named."""
    if choice.results:
        return list(taken)
    kept: list[Result] = []
    first: dict[tuple[str, bool], Result] = {}
    by_rank = sorted(
        taken,
        key=lambda r: (LOSSES.index(r.metric) if r.metric in LOSSES else 9, rank_of(r)),
    )
    for result in by_rank:
        key = (result.name, result.metric in LOSSES)
        before = first.setdefault(key, result)
        if before is result or _by_metric(result, choice):
            kept.append(result)
        else:
            ignored[result.column] = f"{result.name} is read from {before.column}"
    return [result for result in taken if result in kept]


def _by_metric(result: Result, choice: Choice) -> bool:
    """Whether the objective names it by more than the name of its task."""
    by_task = replace(result, column=result.name, metric="", word="")
    return any(
        result.matches((pattern,)) and not by_task.matches((pattern,)) for pattern in choice.named
    )


def _check_directions(
    named: Sequence[Result],
    losses: Table,
    choice: Choice,
    where: str,
    domains: Collection[str],
) -> None:
    """Refuse to guess which way is better."""
    unsure = [result.column for result in named if result.metric == "unknown"]
    unmarked = [
        r for r in named
        if not r.metric and r.name not in domains and not r.matches(choice.lower)
    ]  # fmt: skip
    if unmarked and not choice.results:
        unsure += _like_parts(unmarked, losses)
    if not unsure:
        return
    more = f" and {len(unsure) - _NAMED} more" if len(unsure) > _NAMED else ""
    raise UserError(
        f"{where}: {', '.join(unsure[:_NAMED])}{more}: the name does not say whether more or less "
        "is better, and a fit the wrong way round would give the worst mixture; say it with "
        "--higher-is-better PATTERN or --lower-is-better PATTERN"
    )


def _check_one_unit(named: Sequence[Result], choice: Choice, where: str) -> None:
    """Refuse a mean of bits per byte and nats that nobody asked for."""
    units = {result.metric or "loss" for result in named if result.metric in LOSSES}
    if "bits_per_byte" in units and len(units) > 1 and not (choice.results or choice.named):
        raise UserError(
            f"{where}: some results are bits per byte, others losses per token; choose with "
            "--results, for example --results 'loss_*'"
        )


def _like_parts(unmarked: Sequence[Result], losses: Table) -> list[str]:
    """Columns between 0 and 1 that others do not show to be losses: they may be accuracies.

    Bits per byte lie on both sides of 1, so a table of them has columns that do.
    """
    ends = {}
    for result in unmarked:
        values = numbers(losses[result.column])
        values = values[np.isfinite(values)]
        if len(values):
            ends[result.column] = float(values.min()), float(values.max())
    parts = [column for column, (low, high) in ends.items() if 0 <= low < high <= 1]
    others = [low for column, (low, _) in ends.items() if column not in parts]
    if not parts:
        return []
    if others and min(others) < _APART * max(ends[column][1] for column in parts):
        return []
    return parts


def _why_not(result: Result, taken: Sequence[Result]) -> str:
    if result.metric in ("accuracy", "score"):
        return "a score, of which more is better; --objective accuracy takes scores"
    if any(other.name == result.name for other in taken):
        return f"another metric of {result.name} was asked for"
    return "another metric was asked for"


def own_names(results: Sequence[Result]) -> list[Result]:
    """Names that tell the results apart: the task alone where that does."""
    count: dict[str, int] = {}
    for result in results:
        count[result.name] = count.get(result.name, 0) + 1
    return [
        replace(r, name=f"{r.word or r.metric or 'loss'}:{r.name}") if count[r.name] > 1 else r
        for r in results
    ]


def losses_behind(results: Sequence[Result], found: Sequence[Result]) -> dict[str, Result]:
    """By name of a bounded result, the loss of the same task."""
    of_task: dict[str, Result] = {}
    for metric in LOSSES:
        for result in found:
            if result.metric == metric and metric:
                of_task.setdefault(result.name, result)
    return {
        result.name: of_task[task]
        for result in results
        if result.metric in BOUNDED and (task := result.name.rpartition(":")[2]) in of_task
    }


def _no_results(named: list[Result]) -> dict[str, str]:
    """Why some of the columns that names mark are no results beside the others."""
    reasons = {result.column: "of the training data" for result in named if result.name in TRAINING}
    reasons |= {
        result.column: "a standard error"
        for result in named
        if "stderr" in result.column.lower() or "standard_error" in result.column.lower()
    }
    others = [result for result in named if result.column not in reasons]
    summaries = {r.column for r in others if r.name.lower() in _SUMMARIES}
    if len(others) > len(summaries) + 1:
        reasons |= dict.fromkeys(summaries, "a summary of the others")
    return reasons


def _unnamed_results(losses: Table, where: str, but: Mapping[str, str]) -> list[Result]:
    """Results whose names do not say of what, else every numeric column that can be a loss."""
    bare = [
        result
        for column, cells in losses.items()
        if (result := bare_result_of(column)) is not None and result.metric and is_numeric(cells)
    ]
    if bare:
        return bare
    candidates = [
        column
        for column, cells in losses.items()
        if role_of(column) is None
        and column not in but
        and is_numeric(cells)
        and not any(column.lower().startswith(prefix) for prefix in DOMAIN_PREFIXES)
    ]
    if not candidates:
        raise UserError(
            f"{where}: no column of results that holds numbers; the columns are "
            f"{', '.join(sorted(losses)[:8])}; name the results with --results"
        )
    for column in candidates:
        values = numbers(losses[column])
        largest = float(np.nanmax(values, initial=0.0))
        if largest > _LARGEST_LOSS:
            raise UserError(
                f"{where}: column {column} holds {largest:.4g}, no loss in nats per token; "
                f"name perplexities ppl_DOMAIN, losses loss_DOMAIN and accuracies acc_TASK, or say "
                "which columns are results with --results, and which way is better with "
                f"--higher-is-better or --lower-is-better; the columns are {list(losses)}"
            )
    return [Result(column=column, name=column, metric="") for column in candidates]


def _without_result(losses: Table, used: set[str]) -> dict[str, str]:
    reasons = {}
    for column, cells in losses.items():
        role = role_of(column)
        if column in used or role not in (None, "setting", "step", "validation"):
            continue
        if any(column.lower().startswith(prefix) for prefix in DOMAIN_PREFIXES):
            continue
        if role is not None:
            reasons[column] = "describes the run"
        else:
            reasons[column] = "no result" if is_numeric(cells) else "no number"
    return reasons


def read_results(losses: Table, results: Sequence[Result], where: str) -> tuple[ReadResult, ...]:
    """What each column is, with its unit, direction and bounds.

    Raises:
        UserError: A value lies outside what the metric can be.
    """
    largest: dict[tuple[str, str], float] = {}
    for result in results:
        values = numbers(losses[result.column])
        key = (result.metric, result.word)
        largest[key] = max(largest.get(key, 0.0), float(np.nanmax(values, initial=0.0)))
    return tuple(
        _read(result, numbers(losses[result.column]), largest[result.metric, result.word], where)
        for result in results
    )


def _read(result: Result, values: Floats, largest: float, where: str) -> ReadResult:
    metric = result.metric or "loss"
    if metric == "perplexity" and (values <= 0).any():
        raise UserError(f"{where}: column {result.column}: a perplexity is not above 0")
    if metric not in BOUNDED:
        return ReadResult(
            column=result.column,
            metric=metric,
            unit=_UNITS.get(metric, ""),
            higher_is_better=metric == "score",
        )
    least = float(np.nanmin(values, initial=0.0))
    if least < 0 or largest > 100:
        own = least if least < 0 else float(np.nanmax(values, initial=0.0))
        raise UserError(
            f"{where}: column {result.column} holds {own:.4g}, which is no {metric}: columns of "
            f"{result.word or metric} lie between 0 and 1, or between 0 and 100 %"
        )
    # Of one metric all columns are in one unit: a task of a percent or less is no fraction.
    return ReadResult(
        column=result.column,
        metric=metric,
        unit="percent" if largest > 1 else "fraction",
        higher_is_better=metric == "accuracy",
        low=0.0,
        high=100.0 if largest > 1 else 1.0,
    )


def fitted_values(losses: Table, column: str, read: ReadResult) -> Floats:
    """(rows,) what laws see of a column. A loss of zero is no measurement."""
    values = numbers(losses[column])
    if read.metric in ("loss", "bits_per_byte"):
        values = np.where(values == 0, np.nan, values)
    return scale_of(read).fitted(values)
