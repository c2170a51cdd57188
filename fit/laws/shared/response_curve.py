"""Response of the objective to the tokens of one domain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixscale.fit.arrays import Floats
from mixscale.fit.laws.shared.least_squares import descend

# Where a curve lies when its points leave a choice: the prior's centre (in log a, log b) amid the
# values that published proxy runs gave, a from 2.5 to 6.6 and b from 1.2 to 2.0, with widths that
# allow ten times more or less. It also decides between curves that fit equally well.
_PRIOR_CENTRE = np.log([3.0, 1.5])
_PRIOR_WIDTH = np.array([1.5, 1.0])
_LOG_LOW = np.log([1e-3, 1e-3])
_LOG_HIGH = np.log([1e3, 30.0])

EXACT_NOISE = 1e-8
"""Standard deviation taken when none is known: the curve then goes through its points if it can."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Curves `(a + x)^(-b) + c`, any number of them (arXiv 2407.20177, sec. 3, the DDO power law).

    `x` is a domain's tokens as a multiple of its tokens in the base run, and the value is the
    objective as a multiple of the base run's.
    """

    a: Floats
    b: Floats
    c: Floats

    def __call__(self, x: Floats) -> Floats:
        """Evaluate every curve at its own `x`; shapes broadcast."""
        return (self.a + x) ** (-self.b) + self.c


def fit_curves(x: Floats, y: Floats, noise: Floats, *, start: Curves | None = None) -> Curves:
    """Fit many curves at once, by damped Gauss-Newton steps in log a and log b.

    The offset c enters linearly and is eliminated (variable projection), so two parameters remain.
    The misfit in units of the noise is joined by a weak prior, which matters only when the points
    do not settle the shape: two points, or more noise than effect.

    Args:
        x: (..., points) multiples of the base tokens, zero or more.
        y: (..., points) objective.
        noise: (..., points) standard deviation of y; infinite for a point that is not there.
        start: where to begin, broadcast to the curves; a grid is searched when absent.

    Returns:
        Curves with the leading shape of `y`.
    """
    x, y, noise = np.broadcast_arrays(x, y, noise)
    shape = y.shape[:-1]
    points = y.shape[-1]
    flat = _Problem(x.reshape(-1, points), y.reshape(-1, points), noise.reshape(-1, points))
    if start is None:
        theta = _best(
            flat, [descend(flat, begin, _LOG_LOW, _LOG_HIGH, 200) for begin in _starts(flat)]
        )
    else:
        a, b = np.broadcast_to(start.a, shape), np.broadcast_to(start.b, shape)
        begin = np.log(np.stack([a.ravel(), b.ravel()], -1))
        theta = descend(flat, begin, _LOG_LOW, _LOG_HIGH, 40)
    a, b = np.exp(theta).T
    c = flat.offset(a, b)
    return Curves(a=a.reshape(shape), b=b.reshape(shape), c=c.reshape(shape))


class _Problem:
    """Independent least-squares problems, one for each row."""

    def __init__(self, x: Floats, y: Floats, noise: Floats) -> None:
        self.x, self.y = x, y
        self.weight = 1.0 / noise**2
        self.share = self.weight / self.weight.sum(-1, keepdims=True)

    def offset(self, a: Floats, b: Floats) -> Floats:
        """The best c of each row: the weighted mean of what the power leaves."""
        power = (a[:, None] + self.x) ** (-b[:, None])
        return (self.share * (self.y - power)).sum(-1)

    def _centred(self, values: Floats) -> Floats:
        return values - (self.share * values).sum(-1, keepdims=True)

    def cost(self, theta: Floats) -> Floats:
        """(rows,) misfit with the prior's part."""
        a, b = np.exp(theta[:, :1]), np.exp(theta[:, 1:])
        residual = self._centred(self.y - (a + self.x) ** (-b))
        prior = ((theta - _PRIOR_CENTRE) / _PRIOR_WIDTH) ** 2
        return (self.weight * residual**2).sum(-1) + prior.sum(-1)

    def normal_equations(self, theta: Floats) -> tuple[Floats, Floats]:
        """(rows, 2, 2) Gauss-Newton matrix with the (rows, 2) gradient, both halved."""
        a, b = np.exp(theta[:, :1]), np.exp(theta[:, 1:])
        power = (a + self.x) ** (-b)
        residual = self._centred(self.y - power)
        slope_a = self._centred(-a * b * power / (a + self.x))
        slope_b = self._centred(-b * np.log(a + self.x) * power)
        slopes = np.stack([slope_a, slope_b], 1)
        weighted = slopes * self.weight[:, None, :]
        matrix = np.einsum("rip,rjp->rij", weighted, slopes)
        prior = 1.0 / _PRIOR_WIDTH**2
        matrix[:, [0, 1], [0, 1]] += prior
        gradient = -np.einsum("rip,rp->ri", weighted, residual) + prior * (theta - _PRIOR_CENTRE)
        return matrix, gradient

    def rows(self, which: NDArray[np.intp]) -> _Problem:
        """The problems of some rows."""
        part = object.__new__(_Problem)
        part.x, part.y = self.x[which], self.y[which]
        part.weight, part.share = self.weight[which], self.share[which]
        return part


def _starts(problem: _Problem) -> list[Floats]:
    """The prior's centre, with the best points of a grid's two halves, each (rows, 2).

    Two halves, because three points often lie exactly on two curves: a nearly logarithmic one
    with a small b, another with a large b. The prior then decides between the two.
    """
    rows = len(problem.y)
    log_a = np.log(np.geomspace(0.02, 200, 13))
    halves = np.log(np.geomspace(0.02, 0.5, 6)), np.log(np.geomspace(0.7, 12, 6))
    starts = [np.tile(_PRIOR_CENTRE, (rows, 1))]
    for log_b in halves:
        grid = np.stack([part.ravel() for part in np.meshgrid(log_a, log_b)], -1)
        costs = np.stack([problem.cost(np.broadcast_to(point, (rows, 2))) for point in grid])
        starts.append(grid[costs.argmin(0)])
    return starts


def _best(problem: _Problem, answers: list[Floats]) -> Floats:
    """(rows, 2) the answer of least cost for each row."""
    costs = np.stack([problem.cost(theta) for theta in answers])
    return np.take_along_axis(np.stack(answers), costs.argmin(0)[None, :, None], 0)[0]
