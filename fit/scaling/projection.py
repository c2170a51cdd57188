"""Shares that are best at measured scales turned into shares for another token budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.scaling.trend_lines import TrendLines, explained_by_trend, fit_trend_lines

# A share of zero has no logarithm; the smallest share that a projection starts from.
SMALLEST_SHARE = 1e-6


@dataclass(frozen=True, kw_only=True)
class MeasuredOptima:
    """Optimal shares by scale, and where they mean something."""

    totals: Floats
    """(scales,) token budgets, increasing."""
    shares: Floats
    """(scales, domains) optimal shares."""
    interior: Bools
    """(scales, domains) whether the share lies off its bounds. A share at a bound says only that
    the optimum is at or beyond the bound."""
    slope_error: Floats | None = None
    """(domains,) standard deviation of the slopes of log tokens by step."""
    scale_error: Floats | None = None
    """(scales,) standard deviation of log tokens, the median of the domains with a trend: longer
    runs are less noisy, so their optima count for more."""
    unique_tokens: Floats | None = None
    """(scales, domains) that the runs had to offer; None where that was what a run to come has."""

    @property
    def has_trend(self) -> Bools:
        """(domains,) domains with a trend: off its bounds there and at one more scale."""
        return self.interior[-1] & (self.interior.sum(0) >= 2)


def project_shares(
    measured: MeasuredOptima, shares: Floats, token_budget: float, feasible: Feasible
) -> Floats:
    """Project optimal shares to a token budget under its constraints.

    Domains with a trend follow AutoScale's projection. The others keep the share they have at the
    largest scale, which is the bound where one holds them there. The result is then scaled into the
    bounds of the objective. With one scale all shares stay as they are.

    Args:
        measured: Which domains have a trend, at which scales.
        shares: (..., scales, domains) optimal shares, of `measured` or of its draws.
        token_budget: Tokens.
        feasible: The bounds at the objective.

    Returns:
        (..., domains) shares that sum to 1.
    """
    last = np.maximum(shares[..., -1, :], SMALLEST_SHARE)
    trending = measured.has_trend
    if len(measured.totals) < 2 or trending.sum() < 2:
        return scale_into_bounds(last, feasible)
    held = np.where(trending, 0.0, np.clip(last, feasible.low, feasible.high))
    rest = np.maximum(1 - held.sum(-1), SMALLEST_SHARE)
    projected = held.copy()
    projected[..., trending] = _follow(measured, shares, token_budget * rest) / token_budget
    return scale_into_bounds(projected, feasible)


def slopes(measured: MeasuredOptima, shares: Floats) -> Floats:
    """(..., domains with a trend) growth of log tokens by step."""
    return _lines(measured, shares).slope


def trend_kept(measured: MeasuredOptima) -> float:
    """Fraction of the differences between the domains' trends that a projection keeps, 0 to 1.

    What noise alone would explain of them is not followed beyond the measured scales.
    """
    if measured.slope_error is None or len(measured.totals) < 2 or measured.has_trend.sum() < 2:
        return 1.0
    slope = slopes(measured, measured.shares)
    return float(explained_by_trend(slope, measured.slope_error[measured.has_trend]))


def _follow(measured: MeasuredOptima, shares: Floats, budget: Floats) -> Floats:
    error = measured.slope_error
    of_trends = None if error is None else error[measured.has_trend]
    return _lines(measured, shares, of_trends).at_total(budget)


def _lines(
    measured: MeasuredOptima, shares: Floats, slope_error: Floats | None = None
) -> TrendLines:
    """Lines through the optima of the domains with a trend."""
    trending = measured.has_trend
    return fit_trend_lines(
        measured.totals,
        np.maximum(shares[..., trending], SMALLEST_SHARE) * measured.totals[:, None],
        use=measured.interior[:, trending],
        slope_error=slope_error,
        scale_error=measured.scale_error,
    )
