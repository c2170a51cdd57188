"""Intervals from draws."""

from __future__ import annotations

import numpy as np

from mixscale.fit.arrays import Floats

LEVEL = (5.0, 95.0)
"""Percentiles that intervals run between: 90 %."""
TAIL = 0.05
"""Chance beyond each end."""
NORMAL_90 = 1.645
"""Standard deviations from the middle of a normal distribution to the ends of its 90 %."""
_STEPS = 60


def normal_mixture_interval(means: Floats, deviations: Floats) -> Floats:
    """(2,) the same bounds of a mixture of as many normal distributions as (draws,) means.

    Chance has less part in them than in bounds from one value for each draw: the deviations are
    not drawn.
    """
    from scipy.special import ndtr

    if not (deviations > 0).all():
        return interval(means)
    bounds = []
    for part in (TAIL, 1 - TAIL):
        low, high = (means - 9 * deviations).min(), (means + 9 * deviations).max()
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            below = float(ndtr((middle - means) / deviations).mean()) < part
            low, high = (middle, high) if below else (low, middle)
        bounds.append(0.5 * (low + high))
    return np.array(bounds)


def chance_of_sign(means: Floats, deviations: Floats) -> tuple[float, float]:
    """Chance that a draw lies below zero, with its standard error for this number of draws."""
    from scipy.special import ndtr

    certain = (means < 0).astype(np.float64)
    below = np.where(
        deviations > 0, ndtr(-means / np.where(deviations > 0, deviations, 1)), certain
    )
    return float(below.mean()), float(below.std() / np.sqrt(len(below)))


def interval(draws: Floats, axis: int = 0) -> Floats:
    """(2, ...) bounds that hold another draw from the same source with 90 % probability.

    Percentiles at the places `p (n + 1)` of the n ordered draws (Weibull's rule). The usual places
    `1 + p (n - 1)` hold another draw in only 86 % of cases with 40 draws, 88 % with 100.
    """
    return np.percentile(draws, LEVEL, axis=axis, method="weibull")
