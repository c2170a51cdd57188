"""Each validation loss is linear in the shares: a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import Points
from mixscale.fit.laws.shared.shares import Inputs, inputs_for
from mixscale.fit.laws.shared.smooth import smooth_law


@dataclass(frozen=True, kw_only=True)
class Linear:
    """The family; parameters are one slope for each column."""

    inputs: Inputs
    convex: bool = True

    def fit(
        self,
        points: Points,
        losses: Floats,
        weight: Floats,
        start: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """(draws, validation, parameters) by least squares."""
        root = np.sqrt(weight)[:, :, None]
        solve = np.linalg.pinv(root * self.inputs(points))
        return (solve @ (root * losses)).transpose(0, 2, 1)

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(rows, points) losses."""
        return theta @ self.inputs(points).T

    def slopes(self, theta: Floats, point: Points) -> Floats:
        """(rows, domains) derivatives by tokens."""
        return self.inputs.chain(theta, point)

    def describe(self, theta: Floats) -> dict[str, Any]:
        """Named parameters of one validation loss."""
        return {"slopes": theta.tolist()}


LAW = smooth_law(
    "linear",
    lambda runs: Linear(inputs=inputs_for(runs)),
    spans_scales=False,
    coefficients=lambda runs: inputs_for(runs).count(runs),
    shrunken=False,
    summary="linear in the shares",
)
