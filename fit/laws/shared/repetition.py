"""What tokens are worth that a run reads more than once.

`U + U R (1 - exp(-(N/U - 1) / R))` unique tokens for N tokens of a domain that has U of them
(Muennighoff et al., arXiv 2305.16264, sec. 3): about R epochs beyond the first count at all, each
less than the one before. The prior of R is at their 15.4, wide enough for the 4 to 50 that were
measured in mixtures (arXiv 2605.12715).

In N it is increasing and concave, with slope 1 up to U: a law that is convex in unique tokens and
decreases with each of them stays convex.
"""

from __future__ import annotations

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs

CENTRE = float(np.log(15.4))
WIDTH = 0.77
"""Of the prior of log R: 90 % lie between 4 and 55."""
LOW, HIGH = -3.0, 8.0
REPEATED = 1.001
"""Tokens by unique tokens from which a domain counts as repeated: less is rounding."""
_LEAST = 1e-12  # of a unit: a domain that has nothing to offer


def known(runs: Runs) -> bool:
    """Whether it is known how many tokens the domains of some runs had to offer."""
    return runs.unique_tokens is not None and bool(np.isfinite(runs.unique_tokens).any())


def unique_in(points: Points, unit: float) -> Floats | None:
    """(points, domains) unique tokens in units, infinite if not known; None if nothing repeats."""
    if points.unique_tokens is None:
        return None
    unique = np.where(np.isnan(points.unique_tokens), np.inf, points.unique_tokens)
    if not (points.tokens > REPEATED * unique).any():
        return None
    return np.maximum(unique / unit, _LEAST)


def effective(tokens: Floats, unique: Floats, log_r: Floats) -> tuple[Floats, Floats, Floats]:
    """What repeated tokens are worth.

    Args:
        tokens: (points, domains).
        unique: (points, domains), may be infinite.
        log_r: (rows,).

    Returns:
        (rows, points, domains) unique tokens that they are worth, their derivatives by log R, and
        by tokens.
    """
    r = np.exp(log_r)[:, None, None]
    finite: Floats = np.where(np.isfinite(unique), unique, 1.0)
    again = np.where(np.isfinite(unique), np.maximum(tokens / finite - 1, 0.0), 0.0)
    left = np.exp(-again / r)
    worth: Floats = np.minimum(tokens, unique) + finite * r * (1 - left)
    by_log_r = finite * r * (1 - left - again / r * left)
    return worth, by_log_r, np.broadcast_to(left, worth.shape)
