"""The part of a loss that a larger model takes away: `A (P / P0)^-a` in the parameters P.

Two sizes do not settle both A and a, one size settles neither, so both have a prior from the fit of
Besiroglu et al. (arXiv 2404.10102, table 1) to the runs of Hoffmann et al. (arXiv 2203.15556):
`E + A/P^a + B/D^b` with a = 0.35 and the A below. Its A is taken as a part of the loss, so that it
means the same for any text and unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.shared.shrinkage import Units

_E, _A, _a, _B, _b = 1.8172, 482.01, 0.3478, 2085.43, 0.3658
_LEAST_SHARE, _LARGEST_SHARE = 0.02, 0.6
UNKNOWN_SHARE = 0.25
"""Stands for `ModelSize.share` where it is not needed: a law that is read back is not fitted."""
WIDTHS = np.array([0.3, 0.5])
"""Of the prior of log A and log a. Fits to models of the sizes of proxies gave exponents from 0.15
to 0.6, depending on which parameters are counted (arXiv 2406.12907)."""
LOW, HIGH = np.array([-30.0, -4.0]), np.array([30.0, 1.0])
"""Bounds of log A and log a."""


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """The term; its parameters are log A and log a."""

    reference: float
    """Parameters P0 of the largest model of the runs."""
    share: float
    """Part of the loss that the prior gives to the term at P0."""

    @classmethod
    def of(cls, runs: Runs) -> ModelSize | None:
        """The term for some runs; None where their models' sizes are not known."""
        sizes = runs.parameters
        if sizes is None or not (np.isfinite(sizes) & (sizes > 0)).all():
            return None
        largest = float(sizes.max())
        # Where budgets are not known, as many tokens as Hoffmann et al. would train on.
        budgets = runs.tokens.sum(-1)[sizes == largest]
        tokens = float(budgets.max()) if budgets.max() > 1 else 20 * largest
        size, data = _A * largest**-_a, _B * tokens**-_b
        share = float(np.clip(size / (_E + size + data), _LEAST_SHARE, _LARGEST_SHARE))
        return cls(reference=largest, share=share)

    def logs(self, points: Points) -> Floats:
        """(points,) of P / P0; 0 where the size is not known."""
        if points.parameters is None:
            return np.zeros(len(points))
        return np.log(points.parameters / self.reference)

    def centre(self, units: Units) -> Floats:
        """(rows, 2) middle of the prior in units."""
        # Values whose middle is zero are no losses, and their spread is all there is to go by.
        level = np.maximum(np.abs(units.shift), units.size) / units.size
        return np.stack([np.log(self.share * level), np.full(len(level), np.log(_a))], -1)


def size_values(theta: Floats, logs: Floats) -> Floats:
    """(rows, points) of (rows, 2) parameters at (points,) logs."""
    return np.exp(np.minimum(theta[:, :1] - np.exp(theta[:, 1:2]) * logs, 600.0))


def size_slopes(theta: Floats, logs: Floats) -> Floats:
    """(rows, points, 2) derivatives of the term by its parameters."""
    values = size_values(theta, logs)
    return np.stack([values, -np.exp(theta[:, 1:2]) * logs * values], -1)
