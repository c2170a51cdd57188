"""Predictions for a table of planned runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import ReadResult
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.mixture_table import Mixtures
from mixscale.fit.inputs.points import PLENTY, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.scales import SAME_SCALE
from mixscale.fit.mixing_law import MixingLaw
from mixscale.fit.uncertainty.intervals import interval

_DRAWS = 200


def matching_points(
    wanted: Mixtures, runs: Runs, where: str, available: Mapping[str, float] | None = None
) -> Points:
    """The planned runs in the order of the runs' domains.

    What a table does not tell is taken from the runs: tokens and size are those of the largest,
    unique tokens what `available` says, else plenty.

    Raises:
        UserError: Its domains are others, it tells tokens where the runs do not, or a model is
            smaller than all that were measured.
    """
    differing = sorted(set(wanted.domains) ^ set(runs.domains))
    if differing:
        raise UserError(f"{where}: domains differ from the fitted ones: {differing}")
    order = [wanted.domains.index(name) for name in runs.domains]
    tokens = wanted.tokens[:, order]
    if runs.scale.max() <= 1 < wanted.scale.max():
        # Of runs whose tokens are not known a law knows shares alone.
        tokens = tokens / tokens.sum(-1, keepdims=True)
    if wanted.scale.max() <= 1:
        tokens = tokens * runs.scale.max()
    return Points(
        tokens=tokens,
        unique_tokens=_unique(wanted, runs, available or {}),
        parameters=_parameters(wanted, runs, where),
    )


def _unique(wanted: Mixtures, runs: Runs, available: Mapping[str, float]) -> Floats | None:
    unique = wanted.facts.unique_tokens(runs.domains)
    if unique is not None or not available:
        return unique
    one = [float(available.get(domain, PLENTY)) for domain in runs.domains]
    return np.tile(one, (len(wanted.amounts), 1))


def _parameters(wanted: Mixtures, runs: Runs, where: str) -> Floats | None:
    sizes = wanted.facts.size
    if runs.parameters is None:
        return sizes
    if sizes is None:
        return np.full(len(wanted.amounts), float(runs.parameters.max()))
    smallest = float(runs.sizes[0])
    small = sizes < smallest * (1 - SAME_SCALE)
    if small.any():
        row = int(np.argmax(small))
        raise UserError(
            f"{where}: row {row + 1}: a model of {format_tokens(float(sizes[row]))} parameters is "
            f"smaller than those of all runs, which have {format_tokens(smallest)} or more"
        )
    return sizes


def prediction_rows(
    wanted: Mixtures,
    points: Points,
    law: MixingLaw,
    draws: int = _DRAWS,
    columns: Mapping[str, ReadResult] | None = None,
) -> list[dict[str, Any]]:
    """A row for each planned run, in the table's order: its names, the objective, every result.

    The objective has its 90 % interval beside it where the law's draws give one.

    Args:
        wanted: The planned runs as their table has them.
        points: The same in the order of the law's domains.
        law: The fitted law.
        draws: Resamples behind the intervals; 0 for none.
        columns: The column that each result was read from, under whose name and in whose unit it is
            given; without, it is a loss in nats under `loss_<validation domain>`.
    """
    fitted = law.fitted
    losses, objective = fitted.predict_losses(points), fitted.predict_objective(points)
    spans = _intervals(law, points, draws)
    rows = []
    for i, row in enumerate(losses):
        head: dict[str, Any] = {key: column[i] for key, column in wanted.keys.items()}
        if wanted.facts.tokens is not None:
            head["tokens"] = round(float(wanted.facts.tokens[i]))
        if wanted.facts.size is not None:
            head["parameters"] = round(float(wanted.facts.size[i]))
        head["objective"] = _short(objective[i])
        if spans is not None:
            low, high = min(spans[0, i], objective[i]), max(spans[1, i], objective[i])
            head |= {"objective_low": _short(low), "objective_high": _short(high)}
        named = zip(law.runs.validation, row, strict=True)
        results = (_as_it_was_read(name, value, columns) for name, value in named)
        rows.append(head | {name: _short(value) for name, value in results})
    return rows


def _as_it_was_read(
    name: str, value: float, columns: Mapping[str, ReadResult] | None
) -> tuple[str, float]:
    if columns is None:
        return f"loss_{name}", value
    read = columns[name]
    return read.column, float(np.exp(value)) if read.metric == "perplexity" else value


def _intervals(law: MixingLaw, points: Points, draws: int) -> Floats | None:
    """(2, points)."""
    if not draws:
        return None
    drawn = law.fitted.draws(np.random.default_rng(0), min(draws, _DRAWS))
    if drawn is None:
        return None
    rows = [drawn.predict_objective(points.where([i])) for i in range(len(points))]
    return interval(np.stack(rows), axis=1).reshape(2, len(points))


def _short(value: float) -> float:
    return float(f"{value:.8g}")
