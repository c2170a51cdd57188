"""What many tasks have in common, which steadies the prediction of each.

Tasks move together: what the runs say of one is largely what they say of a few directions among
all. Noise is not shared, so a law that is fitted to one task alone takes for its own what only its
noise did. Half of each prediction is therefore what the main directions of all fitted tasks, each
in units of what the law leaves over of it, say of the task: a reduced-rank regression (Reinsel and
Velu, 1998) that is trusted by half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import FittedLaw

LEAST_RESULTS = 40
"""From fewer there are no directions to tell from single results."""
_RESULTS_EACH = 5
"""Results for each direction that counts."""
_RUNS_EACH = 3
"""Runs, likewise."""
_MOST = 20
_PART = 0.5
"""Of a prediction. Part and number were tried on Olmix's 256 runs, left out in fifths, and then
compared there and on its 127 other runs; `docs/validation/laws.md` has both."""


@dataclass(frozen=True, kw_only=True)
class SharedStructure:
    """A change of predictions towards what all results have in common."""

    middle: Floats
    """(validation,) fitted means."""
    mixing: Floats
    """(validation, validation) what deviations from them become."""

    def at(self, losses: Floats) -> Floats:
        """(points, validation) of (points, validation) predictions."""
        return self.middle + (losses - self.middle) @ self.mixing


def shared_structure(fitted: FittedLaw, runs: Runs) -> SharedStructure | None:
    """Find the directions in which results move together; None where they are too few.

    Args:
        fitted: The law, fitted to the runs.
        runs: The same runs.
    """
    count = len(runs.validation)
    directions = min(_MOST, count // _RESULTS_EACH, len(set(runs.mixtures)) // _RUNS_EACH)
    if count < LEAST_RESULTS or directions < 1:
        return None
    predicted = fitted.predict_losses(runs.points)
    middle = predicted.mean(0)
    left_over = np.sqrt(((runs.losses - predicted) ** 2).mean(0))
    unit = np.maximum(left_over, 1e-9 * np.maximum(np.abs(middle), 1.0))
    main = np.linalg.svd((predicted - middle) / unit, full_matrices=False)[2][:directions]
    shared = main.T @ main / unit[:, None] * unit
    return SharedStructure(middle=middle, mixing=(1 - _PART) * np.eye(count) + _PART * shared)
