"""Intervals from draws."""

from __future__ import annotations

import numpy as np

from mixscale.fit.arrays import Floats

LEVEL = (5.0, 95.0)
"""Percentiles that intervals run between: 90 %."""


def interval(draws: Floats, axis: int = 0) -> Floats:
    """(2, ...) bounds that hold another draw from the same source with 90 % probability.

    Percentiles at the places `p (n + 1)` of the n ordered draws (Weibull's rule). The usual places
    `1 + p (n - 1)` hold another draw in only 86 % of cases with 40 draws, 88 % with 100.
    """
    return np.percentile(draws, LEVEL, axis=axis, method="weibull")
