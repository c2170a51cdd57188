"""Shares that are best at measured scales turned into shares for another token budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.feasible import Feasible, scale_into_bounds
from mixscale.fit.scaling.trend_lines import Projection, fit_projection, kept_part

# A share of zero has no logarithm; the smallest share that a projection starts from.
SMALLEST_SHARE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Optimal shares by scale, and where they mean something."""

    totals: Floats
    """(scales,) token budgets, increasing."""
    shares: Floats
    """(scales, domains) optimal shares."""
    free: Bools
    """(scales, domains) whether the share lies off its bounds. A share at a bound says only that
    the optimum is at or beyond the bound."""
    slope_error: Floats | None = None
    """(domains,) standard deviation of the slopes of log tokens by step."""
    scale_error: Floats | None = None
    """(scales,) standard deviation of log tokens, the median of the domains with a trend: longer
    runs differ less by luck, so their optima count for more."""

    @property
    def moving(self) -> Bools:
        """(domains,) domains with a trend: free at the largest scale and at one more."""
        return self.free[-1] & (self.free.sum(0) >= 2)


def carry(measured: Measured, token_budget: float, feasible: Feasible) -> Floats:
    """(domains,) shares for a token budget; see `carry_draws`."""
    return carry_draws(measured, measured.shares, token_budget, feasible)


def carry_draws(
    measured: Measured, shares: Floats, token_budget: float, feasible: Feasible
) -> Floats:
    """Project optimal shares to a token budget under its constraints.

    Domains with a trend follow AutoScale's projection. The others keep the share they have at the
    largest scale, which is the bound where one holds them there. The result is then scaled into the
    bounds of the target. With one scale all shares stay as they are.

    Args:
        measured: Which domains have a trend, at which scales.
        shares: (..., scales, domains) optimal shares, of `measured` or of its draws.
        token_budget: Tokens.
        feasible: The bounds at the target.

    Returns:
        (..., domains) shares that sum to 1.
    """
    last = np.maximum(shares[..., -1, :], SMALLEST_SHARE)
    moving = measured.moving
    if len(measured.totals) < 2 or moving.sum() < 2:
        return scale_into_bounds(last, feasible)
    held = np.where(moving, 0.0, np.clip(last, feasible.low, feasible.high))
    rest = np.maximum(1 - held.sum(-1), SMALLEST_SHARE)
    projected = held.copy()
    projected[..., moving] = _follow(measured, shares, token_budget * rest) / token_budget
    return scale_into_bounds(projected, feasible)


def slopes(measured: Measured, shares: Floats) -> Floats:
    """(..., moving domains) growth of log tokens by step."""
    return _lines(measured, shares).slope


def kept_trend(measured: Measured) -> float:
    """Part of the differences between the domains' trends that a projection keeps, 0 to 1.

    What noise alone would explain of them is not carried beyond the measured scales.
    """
    if measured.slope_error is None or len(measured.totals) < 2 or measured.moving.sum() < 2:
        return 1.0
    slope = slopes(measured, measured.shares)
    return float(kept_part(slope, measured.slope_error[measured.moving]))


def _follow(measured: Measured, shares: Floats, budget: Floats) -> Floats:
    error = measured.slope_error
    drawn_together = None if error is None else error[measured.moving]
    return _lines(measured, shares, drawn_together).at_total(budget)


def _lines(measured: Measured, shares: Floats, slope_error: Floats | None = None) -> Projection:
    """Lines through the optima of the moving domains."""
    moving = measured.moving
    return fit_projection(
        measured.totals,
        np.maximum(shares[..., moving], SMALLEST_SHARE) * measured.totals[:, None],
        use=measured.free[:, moving],
        slope_error=slope_error,
        scale_error=measured.scale_error,
    )
