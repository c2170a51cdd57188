"""Each validation loss is linear in the shares: a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fit.arrays import Floats
from fit.law import FittedLaw, Law
from fit.laws.shares import Inputs, inputs_for
from fit.laws.smooth import fit_smooth
from fit.noise import Noise
from fit.objective import Target
from fit.runs import Runs


@dataclass(frozen=True, kw_only=True)
class Linear:
    """The family; parameters are one slope for each column."""

    inputs: Inputs
    convex: bool = True

    def fit(
        self,
        tokens: Floats,
        losses: Floats,
        weight: Floats,
        start: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """(draws, validation, parameters) by least squares."""
        root = np.sqrt(weight)[:, :, None]
        solve = np.linalg.pinv(root * self.inputs(tokens))
        return (solve @ (root * losses)).transpose(0, 2, 1)

    def predict(self, theta: Floats, tokens: Floats) -> Floats:
        """(rows, points) losses."""
        return theta @ self.inputs(tokens).T

    def slopes(self, theta: Floats, tokens: Floats) -> Floats:
        """(rows, domains) derivatives by tokens."""
        return self.inputs.chain(theta, tokens)

    def describe(self, theta: Floats) -> dict[str, Any]:
        """Named parameters of one validation loss."""
        return {"slopes": theta.tolist()}


def fit_linear(runs: Runs, target: Target, noise: Noise) -> FittedLaw:
    """Fit the linear baseline to the runs of one scale."""
    return fit_smooth(Linear(inputs=inputs_for(runs)), runs, target, noise)


LAW = Law(name="linear", fit=fit_linear, spans_scales=False, summary="linear in the shares")
