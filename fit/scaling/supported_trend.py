"""How much of a projected trend the law of all scales supports."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.uncertainty.gain import Predictor

_FRACTIONS = np.linspace(0, 1, 41)


def supported_fraction(
    predictor: Predictor, last: Floats, projected: Floats, finish: Callable[[Floats], Floats]
) -> float:
    """Fraction of the way from the last measured optimum to a projection that is best, 0 to 1.

    A line through the optima of two or three scales goes on for ever; optima that level off do not.
    A law that is fitted to the runs of all scales at once says at which fraction of the way
    the objective is least.

    Args:
        predictor: Such a law, for the planned run.
        last: (domains,) optimal shares of the largest measured scale.
        projected: (domains,) projected shares.
        finish: What becomes of (fractions, domains) shares on the way: what else of the run moves
            them than its tokens.
    """
    path = finish(last + _FRACTIONS[:, None] * (projected - last))
    return float(_FRACTIONS[int(np.argmin(predictor.predict(path)))])
