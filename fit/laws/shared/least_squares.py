"""Levenberg-Marquardt on many small problems at once."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixscale.fit.arrays import Floats


class Problems(Protocol):
    """Independent nonlinear least-squares problems, one for each row of parameters."""

    def cost(self, theta: Floats) -> Floats:
        """(rows,) sum of squares at (rows, parameters)."""
        ...

    def normal_equations(self, theta: Floats) -> tuple[Floats, Floats]:
        """(rows, parameters, parameters) `J'J` with the (rows, parameters) gradient `J'r`."""
        ...

    def rows(self, which: NDArray[np.intp]) -> Problems:
        """The problems of some rows."""
        ...


def descend(
    problems: Problems, theta: Floats, low: Floats, high: Floats, steps: int, rest: float = 1e-12
) -> Floats:
    """Lower all costs together; rows that have settled drop out.

    Args:
        problems: What to minimise.
        theta: (rows, parameters) where to begin.
        low, high: (parameters,) bounds, kept by clipping.
        steps: Most steps.
        rest: A row has settled when a step lowers its cost by no more than this part.

    Returns:
        (rows, parameters).
    """
    theta = np.clip(theta, low, high)
    active = np.arange(len(theta))
    damping = np.full(len(theta), 1e-3)
    cost = problems.cost(theta)
    for _ in range(steps):
        part = problems.rows(active)
        matrix, gradient = part.normal_equations(theta[active])
        _hold(matrix, gradient, theta[active], low, high)
        trial = np.clip(theta[active] + _step(matrix, gradient, damping[active]), low, high)
        trial_cost = part.cost(trial)
        better = trial_cost <= cost[active]
        settled = better & (cost[active] - trial_cost <= rest * cost[active])
        taken = active[better]
        theta[taken], cost[taken] = trial[better], trial_cost[better]
        damping[active] = np.clip(damping[active] * np.where(better, 0.2, 6.0), 1e-14, 1e12)
        active = active[~settled & (damping[active] < 1e11)]
        if not len(active):
            break
    return theta


def _hold(matrix: Floats, gradient: Floats, theta: Floats, low: Floats, high: Floats) -> None:
    """Take parameters out of the step that a bound holds, in place.

    A step that counts on them to move is a wrong one for the others.
    """
    held = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
    rows, columns = np.nonzero(held)
    gradient[rows, columns] = 0.0
    matrix[rows, columns, :] = 0.0
    matrix[rows, :, columns] = 0.0
    matrix[rows, columns, columns] = 1.0


def _step(matrix: Floats, gradient: Floats, damping: Floats) -> Floats:
    """(rows, parameters) damped Gauss-Newton step of at most 1 in each parameter."""
    size = matrix.shape[-1]
    diagonal = np.einsum("rpp->rp", matrix)
    tiny = 1e-14 * diagonal.max(-1, keepdims=True) + 1e-300
    damped = matrix + (damping[:, None] * diagonal + tiny)[:, :, None] * np.eye(size)
    step = -np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
    return np.clip(step, -1.0, 1.0)
