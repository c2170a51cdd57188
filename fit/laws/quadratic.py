"""Each validation loss is quadratic in the shares, with a ridge: a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.shared.shares import Inputs, inputs_for
from mixscale.fit.laws.shared.smooth import smooth_law

_RIDGES = np.geomspace(1e-7, 10, 17)


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """The family; parameters are slopes of the columns, then of their products."""

    inputs: Inputs
    convex: bool = False

    def fit(
        self,
        points: Points,
        losses: Floats,
        weight: Floats,
        start: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """(draws, validation, parameters); each loss takes the ridge of least left-out error."""
        features = self._features(self.inputs(points))
        rows = zip(losses, weight, strict=True)
        return np.stack([_ridge(features, drawn, counts) for drawn, counts in rows])

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(rows, points) losses."""
        return theta @ self._features(self.inputs(points)).T

    def slopes(self, theta: Floats, point: Points) -> Floats:
        """(rows, domains) derivatives by tokens."""
        x = self.inputs(point)[0]
        first, second = np.triu_indices(len(x))
        slopes = theta[:, 1 : len(x) + 1].copy()
        products = theta[:, len(x) + 1 :]
        np.add.at(slopes.T, first, (products * x[second]).T)
        np.add.at(slopes.T, second, (products * x[first]).T)
        return self.inputs.chain(slopes, point)

    def describe(self, theta: Floats) -> dict[str, Any]:
        """Named parameters of one validation loss."""
        return {"coefficients": theta.tolist()}

    def _features(self, x: Floats) -> Floats:
        first, second = np.triu_indices(x.shape[1])
        return np.hstack([np.ones((len(x), 1)), x, x[:, first] * x[:, second]])


def _ridge(features: Floats, y: Floats, weight: Floats) -> Floats:
    """(columns of y, features) ridge regressions, the strength by leave-one-out error."""
    root = np.sqrt(weight)[:, None]
    mean = (weight @ y) / weight.sum()
    u, s, vt = np.linalg.svd(root * features, full_matrices=False)
    projected = u.T @ (root * (y - mean))
    best, error = np.zeros((y.shape[1], features.shape[1])), np.full(y.shape[1], np.inf)
    for ridge in _RIDGES:
        shrink = s**2 / (s**2 + ridge)
        residual = root * (y - mean) - u @ (shrink[:, None] * projected)
        leverage = (u**2) @ shrink
        left_out = ((residual / (1 - np.minimum(leverage, 0.999))[:, None]) ** 2).sum(0)
        theta = ((s / (s**2 + ridge))[:, None] * projected).T @ vt
        better = left_out < error
        best[better], error[better] = theta[better], left_out[better]
    best[:, 0] += mean
    return best


def _coefficients(runs: Runs) -> int:
    columns = inputs_for(runs).count(runs)
    return 1 + columns + columns * (columns + 1) // 2


LAW = smooth_law(
    "quadratic",
    lambda runs: Quadratic(inputs=inputs_for(runs)),
    spans_scales=False,
    coefficients=_coefficients,
    summary="quadratic in the shares, with a ridge",
)
