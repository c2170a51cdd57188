"""How much of a projected trend the runs bear out."""

from __future__ import annotations

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.uncertainty.gain import Judge

_PARTS = np.linspace(0, 1, 41)


def borne_out(judge: Judge, last: Floats, projected: Floats) -> float:
    """Part of the way from the last measured optimum to a projection that is best, 0 to 1.

    A line through the optima of two or three scales goes on for ever; optima that level off do not.
    A law that is fitted to the runs of all scales at once says on which part of the way the
    objective is least.

    Args:
        judge: Such a law, at the budget projected to.
        last: (domains,) optimal shares of the largest measured scale.
        projected: (domains,) projected shares.
    """
    path = last + _PARTS[:, None] * (projected - last)
    return float(_PARTS[int(np.argmin(judge.objective(path)))])
