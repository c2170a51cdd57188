"""Runs that a law cannot have come by: crashed, mislabelled, or of another setting."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.points import Points

_BEYOND, _FEW_SPARE = 4.0, 4.0
"""Standard deviations of the other runs from which a run is suspect: 4, and more by 4 over the
runs beyond the parameters, as few tell their own deviation badly. In published tables no run lies
3.2 away, and one that is shifted by 1 nat lies 4.5 to 86 away."""
_COLUMNS = 4
"""Losses that are looked at beside their mean: a run that went wrong shows in most of them."""
_SPARE = 2
"""Runs beyond the parameters from which one run can be told from the others."""
_ALL_TRIED = 48
_TRIED = 8
"""Runs left out in turn: all of a small table, whose fit one run can bend to itself, else those
that lie furthest from the law."""
_MOST = 0.1
"""Part of the runs that may be suspect; beyond that the law is in doubt, not the runs."""


class Fits(Protocol):
    """A parametric family; see `mixscale.fit.laws.shared.smooth.Family`."""

    def fit(
        self, points: Points, losses: Floats, weight: Floats, start: Floats | None = None
    ) -> Floats:
        """(draws, columns, parameters) of (draws, runs, columns) values."""
        ...

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(columns, points) predictions."""
        ...


def find_suspects(family: Fits, points: Points, losses: Floats) -> Bools:
    """(runs,) mark runs that lie far off what the others say, one after the other.

    Each run is compared with a fit without it: `sqrt(r d) / s`, with r its residual in the fit of
    all runs, d in the fit without it, and s the deviation of the others around that. For a linear
    law this is the externally studentised residual, in which a run at the edge of the design may
    miss by more. A run counts by the median over its losses.

    Args:
        family: What to fit.
        points: The runs.
        losses: (runs, columns).
    """
    suspect = np.zeros(len(losses), dtype=bool)
    chosen = np.linspace(0, losses.shape[1] - 1, min(_COLUMNS, losses.shape[1])).round().astype(int)
    losses = np.column_stack([losses.mean(1), losses[:, chosen]])
    for _ in range(max(1, int(_MOST * len(losses)))):
        scores, spare = _scores(family, points, losses, suspect)
        worst = int(np.argmax(scores))
        if spare < _SPARE or scores[worst] < _BEYOND + _FEW_SPARE / spare:
            break
        suspect[worst] = True
    return suspect


def _scores(family: Fits, points: Points, losses: Floats, suspect: Bools) -> tuple[Floats, int]:
    """(runs,) deviations, 0 for runs that are not tried; how many runs there are to spare."""
    scores, kept = np.zeros(len(losses)), ~suspect
    weight = kept[None].astype(np.float64)
    theta = family.fit(points, losses[None], weight)[0]
    spare = int(kept.sum()) - theta.shape[1]
    if spare < _SPARE:
        return scores, spare
    residual = losses - family.predict(theta, points).T
    tried = _to_try(residual, kept)
    without = np.tile(weight, (len(tried), 1))
    without[np.arange(len(tried)), tried] = 0.0
    start = np.broadcast_to(theta, (len(tried), *theta.shape))
    fits = family.fit(points, np.broadcast_to(losses, (len(tried), *losses.shape)), without, start)
    for run, fitted, counts in zip(tried, fits, without, strict=True):
        missed = losses - family.predict(fitted, points).T
        deviation = _deviation(missed[counts > 0], fitted.shape[1])
        both = np.maximum(residual[run] * missed[run], 0.0)
        scores[run] = np.median(np.sqrt(both) / np.maximum(deviation, 1e-300))
    return scores, spare


def _to_try(residual: Floats, kept: Bools) -> list[int]:
    size = np.where(kept, np.median(np.abs(residual) / _deviation(residual[kept], 0), -1), -1.0)
    count = int(kept.sum())
    furthest = np.argsort(-size, kind="stable")[: count if count <= _ALL_TRIED else _TRIED]
    return furthest.tolist()


def _deviation(residual: Floats, parameters: int) -> Floats:
    """(columns,) robust deviation of (runs, columns) residuals, widened for the parameters."""
    count = len(residual)
    free = max(count - parameters, count / 4)
    spread = 1.4826 * np.median(np.abs(residual), 0)
    # A median that is exactly zero tells of runs that a law goes through.
    root = np.sqrt((residual**2).mean(0))
    return np.maximum(spread, 1e-3 * root + 1e-300) * np.sqrt(count / free)
