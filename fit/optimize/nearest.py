"""The allowed mixture nearest to another one."""

from __future__ import annotations

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.optimize.convex import solve_over


def scale_into_bounds(shares: Floats, feasible: Feasible) -> Floats:
    """Project shares onto the allowed ones: the nearest in Kullback-Leibler divergence.

    With bounds alone, all domains off their bounds keep their ratios: `p_i = clip(f * q_i, low_i,
    high_i)` with the factor f at which they sum to 1.

    Args:
        shares: (..., domains) positive.
        feasible: Where to.

    Returns:
        (..., domains) shares that sum to 1.
    """
    shares = np.maximum(shares, 1e-300)
    clipped = _clip_scaled(shares, feasible)
    if feasible.plain:
        return clipped
    flat, starts = shares.reshape(-1, shares.shape[-1]), clipped.reshape(-1, shares.shape[-1])
    rows = [nearest(q, feasible, start) for q, start in zip(flat, starts, strict=True)]
    return np.stack(rows).reshape(shares.shape)


def _clip_scaled(shares: Floats, feasible: Feasible) -> Floats:
    lower = np.full(shares.shape[:-1], -800.0)
    upper = np.full(shares.shape[:-1], 800.0)
    with np.errstate(over="ignore"):
        for _ in range(80):
            middle = 0.5 * (lower + upper)
            scaled = np.clip(np.exp(middle)[..., None] * shares, feasible.low, feasible.high)
            over = scaled.sum(-1) > 1
            lower, upper = np.where(over, lower, middle), np.where(over, middle, upper)
        scaled = np.clip(np.exp(lower)[..., None] * shares, feasible.low, feasible.high)
    return _exact(scaled, feasible)


def _exact(shares: Floats, feasible: Feasible) -> Floats:
    free = (shares > feasible.low) & (shares < feasible.high)
    missing = 1 - shares.sum(-1, keepdims=True)
    weight = np.where(free, shares, 0.0)
    total = weight.sum(-1, keepdims=True)
    shares = shares + missing * weight / np.where(total > 0, total, 1.0)
    # Spreading what is missing may end a rounding error below a bound of zero.
    return np.clip(shares, feasible.low, feasible.high)


def nearest(shares: Floats, feasible: Feasible, start: Floats, *, within_kl: bool = True) -> Floats:
    """(domains,) allowed mixture of least `sum p log(p / shares)`."""
    wanted = np.maximum(shares, 1e-12)

    def divergence(p: Floats) -> tuple[float, Floats]:
        ratio: Floats = np.log(np.maximum(p, 1e-12) / wanted)
        return float((p * ratio).sum()), ratio + 1.0

    return solve_over(divergence, feasible, np.clip(start, 1e-9, 1), within_kl=within_kl)
