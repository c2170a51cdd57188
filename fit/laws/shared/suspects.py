"""Runs that a law cannot have come by: crashed, mislabelled, or of another setting."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.points import Points

_BEYOND, _FEW_SPARE = 5.0, 4.0
"""Standard deviations of the other runs from which a run is suspect: 5, and more by 4 over the
runs beyond the parameters, as few tell their own deviation badly. In published tables no run lies
4.6 away, and one that is shifted by 1 nat lies 10 to 154 away."""
_COLUMNS = 4
"""Losses that are looked at beside their mean: a run that went wrong shows in most of them."""
_SPARE = 2
"""Runs beyond the parameters from which one run can be told from the others."""
_ALL_TRIED = 48
_TRIED = 8
"""Runs left out in turn: all of a small table, whose fit one run can bend to itself, else those
that lie furthest from the law, and as many that lie furthest from a plane through the others."""
_NEGLIGIBLE = 1e-10
"""Of the largest: directions of the parameters that runs tell less about count as not told."""
_NEW = 1e-6
"""Of the leverage: as near to 1 a run counts as the only one that tells of something."""
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

    def tangents(self, theta: Floats, points: Points) -> Floats:
        """(columns, points, parameters) derivatives of the predictions by the parameters."""
        ...


def find_suspects(family: Fits, points: Points, losses: Floats) -> Bools:
    """(runs,) mark runs that lie far off what the others say, one after the other.

    Each run is compared with a fit without it: `|d| / (s sqrt(1 + h))`, with d what that fit misses
    the run by, s the deviation of the others around it, and h the variance of its prediction there
    in units of theirs, from the tangents of the parameters. For a linear law this is the externally
    studentised residual, in which a run at the edge of the design may miss by more. The fit of all
    runs has no part in it: one run can bend that to itself. A run that alone has some domain may
    miss by no more than a domain can do at its share (`_most_of_new`). A run counts by the median
    over its losses.

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
    alone = np.zeros(len(losses), dtype=bool)
    alone[kept] = _leverage(_basis(points.shares[kept])) > 1 - _NEW
    tried = _to_try(residual, points, losses, kept, alone)
    without = np.tile(weight, (len(tried), 1))
    without[np.arange(len(tried)), tried] = 0.0
    start = np.broadcast_to(theta, (len(tried), *theta.shape))
    fits = family.fit(points, np.broadcast_to(losses, (len(tried), *losses.shape)), without, start)
    for run, fitted, counts in zip(tried, fits, without, strict=True):
        missed = losses - family.predict(fitted, points).T
        others = counts > 0
        deviation = _deviation(missed[others], fitted.shape[1])
        wide = deviation * np.sqrt(1 + _variance(family.tangents(fitted, points), run, others))
        if alone[run]:
            most = _most_of_new(points.shares[run], points.shares[others], losses[others])
            wide = np.minimum(wide, np.hypot(_FEW_SPARE * deviation, most))
        scores[run] = np.median(np.abs(missed[run]) / np.maximum(wide, 1e-300))
    return scores, spare


def _to_try(
    residual: Floats, points: Points, losses: Floats, kept: Bools, alone: Bools
) -> list[int]:
    rows = np.flatnonzero(kept)
    if len(rows) <= _ALL_TRIED:
        return rows.tolist()
    far = [residual[rows], _off_plane(points.shares[rows], losses[rows])]
    chosen = [
        rows[np.argsort(-np.median(np.abs(each) / _deviation(each, 0), -1), kind="stable")[:_TRIED]]
        for each in far
    ]
    return np.unique(np.concatenate([*chosen, np.flatnonzero(alone)[:_ALL_TRIED]])).tolist()


def _off_plane(shares: Floats, losses: Floats) -> Floats:
    """(runs, columns) what a linear fit in the shares without each run misses it by."""
    basis = _basis(shares)
    left = losses - basis @ (basis.T @ losses)
    return left / np.maximum(1 - _leverage(basis), 1e-3)[:, None]


def _leverage(basis: Floats) -> Floats:
    """(runs,) weight of each run in what a linear fit says of it; 1 where no other run tells."""
    return (basis**2).sum(1)


def _basis(shares: Floats) -> Floats:
    """(runs, rank) orthonormal directions of (runs, domains) shares."""
    basis, size, _ = np.linalg.svd(shares, full_matrices=False)
    return basis[:, size > _NEGLIGIBLE * size[0]]


def _most_of_new(run: Floats, others: Floats, losses: Floats) -> Floats:
    """(columns,) what the part of a run that no other tells of may do to its losses.

    It is as much of it as there is, times the most that a domain differs from the mean of all, of
    the domains that the others have more of.

    Args:
        run: (domains,) shares.
        others: (others, domains) shares.
        losses: (others, columns).
    """
    inverse = np.linalg.pinv(others, rcond=np.sqrt(_NEGLIGIBLE))
    new = float(np.linalg.norm(run - run @ inverse @ others))
    slopes = (inverse @ losses)[np.linalg.norm(others, axis=0) > new]
    if not len(slopes):
        return np.full(losses.shape[1], np.inf)
    return new * np.abs(slopes - slopes.mean(0)).max(0)


def _variance(tangents: Floats, run: int, others: Bools) -> Floats:
    """(columns,) variance of a prediction at a run, in units of that of the other runs."""
    found = np.empty(len(tangents))
    for k, slopes in enumerate(tangents):
        size = np.maximum(np.linalg.norm(slopes[others], axis=0), 1e-300)
        _, values, directions = np.linalg.svd(slopes[others] / size, full_matrices=False)
        told = values > np.sqrt(_NEGLIGIBLE) * values[0]
        found[k] = ((directions[told] @ (slopes[run] / size) / values[told]) ** 2).sum()
    return found


def _deviation(residual: Floats, parameters: int) -> Floats:
    """(columns,) robust deviation of (runs, columns) residuals, widened for the parameters."""
    count = len(residual)
    free = max(count - parameters, count / 4)
    spread = 1.4826 * np.median(np.abs(residual), 0)
    # A median that is exactly zero tells of runs that a law goes through.
    root = np.sqrt((residual**2).mean(0))
    return np.maximum(spread, 1e-3 * root + 1e-300) * np.sqrt(count / free)
