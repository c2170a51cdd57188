"""Each validation loss is linear in the shares: a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import Target
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.laws.shared.shares import Inputs, inputs_for
from mixscale.fit.laws.shared.smooth import fit_smooth
from mixscale.fit.uncertainty.noise import Noise


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
