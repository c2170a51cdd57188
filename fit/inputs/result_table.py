"""A table of results: which columns are losses, and in which unit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.cells import is_numeric, numbers
from mixscale.fit.inputs.columns import (
    DOMAIN_PREFIXES,
    TRAINING,
    Choice,
    Result,
    Table,
    bare_result_of,
    matching,
    result_of,
    role_of,
)

_SUMMARIES = ("mean", "avg", "average", "overall", "total", "all", "macro", "macro_avg")
"""Names of what sums up the other results, and would count them twice."""
_LARGEST_LOSS = 20.0
"""Nats: more than the log of any vocabulary, so no loss of a model that has learnt anything."""


def results_of(
    losses: Table, where: str, choice: Choice
) -> tuple[tuple[Result, ...], dict[str, str]]:
    """The results' columns, each validation domain once, and why others are left aside."""
    if choice.results:
        chosen = matching(choice.results, losses, "--results")
        found = [
            result_of(c) or bare_result_of(c) or Result(column=c, name=c, metric="loss")
            for c in chosen
        ]
        return tuple(found), {}
    named = [
        result
        for column, cells in losses.items()
        if role_of(column) is None
        and is_numeric(cells)
        and (result := result_of(column)) is not None
    ]
    ignored = _no_results(named)
    named = [result for result in named if result.column not in ignored]
    if not named:
        named = _unnamed_results(losses, where, ignored)
    higher = [result.column for result in named if result.metric == "accuracy"]
    named = [result for result in named if result.metric != "accuracy"]
    if not named:
        raise UserError(
            f"{where}: {', '.join(higher[:6])} look like scores of which more is better, and a law "
            "would minimise them; give losses, or name with --results columns where less is better"
        )
    kept: dict[str, Result] = {}
    ignored |= dict.fromkeys(higher, "a score, of which more is better")
    for metric in ("loss", "", "bits_per_byte", "perplexity"):
        for result in named:
            if result.metric != metric:
                continue
            if result.name in kept:
                ignored[result.column] = f"{result.name} is read from {kept[result.name].column}"
            else:
                kept[result.name] = result
    units = {result.metric or "loss" for result in kept.values()}
    if "bits_per_byte" in units and len(units) > 1:
        raise UserError(
            f"{where}: some results are bits per byte, others losses per token; choose with "
            "--results, for example --results 'loss_*'"
        )
    order = {result.column: i for i, result in enumerate(named)}
    results = tuple(sorted(kept.values(), key=lambda result: order[result.column]))
    used = {result.column for result in results} | set(ignored)
    return results, ignored | _without_result(losses, used)


def _no_results(named: list[Result]) -> dict[str, str]:
    """Why some of the columns that names mark are no results beside the others."""
    reasons = {result.column: "of the training data" for result in named if result.name in TRAINING}
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
                f"name perplexities ppl_DOMAIN and losses loss_DOMAIN, or say which columns are "
                f"losses with --results; the columns are {list(losses)}"
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


def in_nats(losses: Table, result: Result, where: str) -> Floats:
    """(rows,) values of a result; perplexities become losses. A loss of zero is no measurement."""
    values = numbers(losses[result.column])
    if result.metric != "perplexity":
        return np.where(values == 0, np.nan, values)
    if (values <= 0).any():
        raise UserError(f"{where}: column {result.column}: a perplexity is not above 0")
    return np.log(values)
