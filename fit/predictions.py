"""Predictions for a table of planned runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import ReadResult
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.columns import LOSSES
from mixscale.fit.inputs.mixture_table import Mixtures
from mixscale.fit.inputs.points import Points, unique_of
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws
from mixscale.fit.laws.shared.smooth import SmoothDraws
from mixscale.fit.metrics.scale import scale_of
from mixscale.fit.mixing_law import MixingLaw
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.model_error import DrawsWithError

_DRAWS = 200


def matching_points(
    wanted: Mixtures, runs: Runs, where: str, available: Mapping[str, float] | None = None
) -> Points:
    """The planned runs in the order of the runs' domains.

    What a table does not tell is taken from the runs: tokens and size are those of the largest,
    unique tokens what `available` says, else plenty.

    Raises:
        UserError: Its domains are others.
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
        parameters=_parameters(wanted, runs),
    )


def _unique(wanted: Mixtures, runs: Runs, available: Mapping[str, float]) -> Floats | None:
    unique = wanted.facts.unique_tokens(runs.domains)
    one = unique_of(available, runs.domains)
    return unique if unique is not None or one is None else np.tile(one, (len(wanted.amounts), 1))


def _parameters(wanted: Mixtures, runs: Runs) -> Floats | None:
    sizes = wanted.facts.size
    if sizes is not None or runs.parameters is None:
        return sizes
    return np.full(len(wanted.amounts), float(runs.parameters.max()))


def prediction_rows(
    wanted: Mixtures,
    points: Points,
    law: MixingLaw,
    draws: int = _DRAWS,
    columns: Mapping[str, ReadResult] | None = None,
) -> list[dict[str, Any]]:
    """A row for each planned run, in the table's order: its names, the objective, every result.

    Each has its 90 % interval beside it, under its name with `_low` and `_high`, where the law's
    draws give one. A mixture that was measured keeps part of what it differed from the law by, see
    `mixscale.fit.mixture_effects`; many results steady each other, see
    `mixscale.fit.metrics.shared_structure`.

    Args:
        wanted: The planned runs as their table has them.
        points: The same in the order of the law's domains.
        law: The fitted law.
        draws: Resamples behind the intervals; 0 for none.
        columns: The column that each result was read from, under whose name and in whose unit it is
            given; without, it is a loss in nats under `loss_<validation domain>`.
    """
    fitted = law.fitted
    lawful, losses = fitted.predict_losses(points), law.predict_losses(points)
    # Draws are of the law, so its effects of measured mixtures move them as they move the law.
    moved = law.objective.value(losses) - law.objective.value(lawful)
    objective = fitted.predict_objective(points) + moved
    spans = _spans(law, points, draws)
    if spans is not None:
        spans = spans.moved(moved, losses - lawful)
    rows = []
    for i in range(len(points)):
        row: dict[str, Any] = {key: column[i] for key, column in wanted.keys.items()}
        if wanted.facts.tokens is not None:
            row["tokens"] = round(float(wanted.facts.tokens[i]))
        if wanted.facts.size is not None:
            row["parameters"] = round(float(wanted.facts.size[i]))
        row |= _with_span(
            "objective",
            objective[i],
            None if spans is None else spans.objective[:, i],
            _objective_unit(law),
        )
        for k, name in enumerate(law.runs.validation):
            column, unit = _as_it_was_read(name, _columns(law, columns))
            span = None if spans is None or spans.losses is None else spans.losses[:, i, k]
            row |= _with_span(column, losses[i, k], span, unit)
        rows.append(row)
    return rows


def _with_span(
    name: str, value: float, span: Floats | None, unit: Callable[[float], float] = float
) -> dict[str, float]:
    """A prediction, with its interval where there is one."""
    shown = {name: _short(unit(value))}
    if span is not None:
        # Far from the runs draws may lie to one side of the law that they are draws of.
        ends = unit(min(float(span[0]), value)), unit(max(float(span[1]), value))
        shown[f"{name}_low"], shown[f"{name}_high"] = _short(min(ends)), _short(max(ends))
    return shown


def _objective_unit(law: MixingLaw) -> Callable[[float], float]:
    """What turns a cost into the objective's own unit, within what is possible."""
    objective = law.objective
    least, most = objective.bounds
    return lambda cost: float(objective.shown(min(max(cost, least), most)))


def _columns(
    law: MixingLaw, columns: Mapping[str, ReadResult] | None
) -> Mapping[str, ReadResult] | None:
    """The columns that results were read from, as the law's runs have them."""
    results = law.runs.results
    if not results:
        return columns
    known = dict(zip(law.runs.validation, results, strict=True))
    if columns is not None:
        return known
    return {name: read for name, read in known.items() if read.metric not in LOSSES}


def _as_it_was_read(
    name: str, columns: Mapping[str, ReadResult] | None
) -> tuple[str, Callable[[float], float]]:
    """The name of a result, and what turns what laws predict into its unit."""
    if columns is None or name not in columns:
        return f"loss_{name}", float
    scale = scale_of(columns[name])
    return columns[name].column, lambda fitted: float(scale.measured(np.array(fitted)))


@dataclass(frozen=True, kw_only=True)
class _Spans:
    """Ends of 90 % intervals."""

    objective: Floats
    """(2, points)."""
    losses: Floats | None
    """(2, points, validation); None for laws whose draws tell the objective alone."""

    def moved(self, objective: Floats, losses: Floats) -> _Spans:
        """The intervals, (points,) and (points, validation) higher."""
        return _Spans(
            objective=self.objective + objective,
            losses=None if self.losses is None else self.losses + losses,
        )


def _spans(law: MixingLaw, points: Points, count: int) -> _Spans | None:
    drawn = law.fitted.draws(np.random.default_rng(0), min(count, _DRAWS)) if count else None
    if drawn is None:
        return None
    parts = _result_parts(law)
    objective, losses = [], []
    for i in range(len(points)):
        point = points.where([i])
        values = drawn.predict_objective(point)
        objective.append(interval(values))
        results = drawn_losses(drawn, point)
        if results is not None:
            # What the law gets wrong is known of the objective, and taken to be as much larger in
            # a result as what the fit leaves over is.
            refitted = drawn.draws if isinstance(drawn, DrawsWithError) else drawn
            wrong = values - refitted.predict_objective(point)
            losses.append(interval(results + wrong[:, None] * parts))
    return _Spans(
        objective=np.stack(objective, axis=1), losses=np.stack(losses, axis=1) if losses else None
    )


def drawn_losses(drawn: Draws, point: Points) -> Floats | None:
    """(draws, validation) losses of one point; None for laws whose draws do not tell them."""
    draws = drawn.draws if isinstance(drawn, DrawsWithError) else drawn
    if not isinstance(draws, SmoothDraws):
        return None
    rows = draws.theta.reshape(-1, draws.theta.shape[-1])
    return draws.law.family.predict(rows, point).reshape(draws.theta.shape[:2])


def _result_parts(law: MixingLaw) -> Floats:
    """(validation,) what the fit leaves over of each result, as a multiple of the objective's."""
    fitted, runs = law.fitted, law.runs
    left = runs.losses - fitted.predict_losses(runs.points)
    of_objective = law.objective.value(runs.losses) - fitted.predict_objective(runs.points)
    # Medians: a run that lies far off is no part of the fit.
    return np.median(np.abs(left), 0) / max(float(np.median(np.abs(of_objective))), 1e-12)


def _short(value: float) -> float:
    return float(f"{value:.8g}")
