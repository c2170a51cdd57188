"""How the objective answers to each domain around the base run, under any law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixscale.contracts.fit_record import Point, Response
from mixscale.fit.arrays import Floats
from mixscale.fit.found_mixtures import ScaleFit
from mixscale.fit.inputs.runs import BASE
from mixscale.fit.uncertainty.intervals import interval

_GRID = 15


def responses(fit: ScaleFit, noise: float | None) -> dict[str, Response]:
    """Curve, interval and runs by domain, in parts of the base run's objective.

    Empty when there is no base run, or its objective is not positive: nothing is a part of it then.

    Args:
        fit: One scale.
        noise: Standard deviation of one run's objective.
    """
    base = np.array([name == BASE for name in fit.runs.changed])
    if not base.any():
        return {}
    values = fit.objective.shown(fit.objective.value(fit.runs.losses))
    tokens, objective = fit.runs.tokens[base].mean(0), float(values[base].mean())
    if not (objective > 0 and _unit(fit) > 0):
        return {}
    return {
        domain: _response(fit, i, tokens, values / objective, noise and noise / objective)
        for i, domain in enumerate(fit.runs.domains)
    }


def _response(fit: ScaleFit, i: int, base: Floats, values: Floats, noise: float | None) -> Response:
    measured = _points(fit, i, base, values, noise)
    reach = [point.x for point in measured]
    x = np.geomspace(max(min(reach) * 0.8, 1e-3), max(reach) * 1.2, _GRID)
    tokens = np.tile(base, (_GRID, 1))
    tokens[:, i] *= x
    points = replace(fit.run.with_shares(tokens), tokens=tokens)
    # Laws predict absolute objectives: put them in units of the measured base run's.
    unit, shown = _unit(fit), fit.objective.shown
    drawn = None
    if fit.draws is not None:
        rows = [shown(fit.draws.predict_objective(points.where([k]))) for k in range(_GRID)]
        drawn = interval(np.stack(rows) / unit, axis=1)
    return Response(
        x=tuple(x.tolist()),
        y=tuple((shown(fit.law.predict_objective(points)) / unit).tolist()),
        low=None if drawn is None else tuple(drawn[0].tolist()),
        high=None if drawn is None else tuple(drawn[1].tolist()),
        points=tuple(measured),
        responds=fit.runs.domains[i] not in fit.law.no_response(),
    )


def _unit(fit: ScaleFit) -> float:
    """The objective at the base runs' mean losses."""
    base = np.array([name == BASE for name in fit.runs.changed])
    return fit.objective.shown(float(fit.objective.value(fit.runs.losses[base].mean(0))))


def _points(
    fit: ScaleFit, i: int, base: Floats, values: Floats, noise: float | None
) -> list[Point]:
    """Mean measurements of the base and of the runs that changed this domain."""
    shown = {BASE, fit.runs.domains[i]}
    groups: dict[str, list[int]] = {}
    for k, (label, changed) in enumerate(zip(fit.runs.labels, fit.runs.changed, strict=True)):
        if changed in shown:
            groups.setdefault(label, []).append(k)
    points = [
        Point(
            x=float(fit.runs.tokens[rows, i].mean() / base[i]),
            y=float(values[rows].mean()),
            noise=None if noise is None else noise / float(np.sqrt(len(rows))),
        )
        for rows in groups.values()
    ]
    return sorted(points, key=lambda point: point.x)
