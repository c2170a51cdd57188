"""Lines through the optimal tokens of the measured scales (AutoScale's projection)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Bools, Floats


@dataclass(frozen=True, kw_only=True)
class TrendLines:
    """Lines `log N_i*(s) = intercept_i + slope_i s` over the step s.

    The step counts scales: 0 at the smallest measured one, 1 at the next. With two scales this is
    `N3* = N2* (N2* / N1*)` at step 2, and so on (AutoScale, arXiv 2407.20177, sec. 4, theorem 1).
    """

    intercept: Floats
    """(..., domains) log tokens at step 0."""
    slope: Floats
    """(..., domains) growth of log tokens in one step."""

    def quantities(self, step: float | Floats) -> Floats:
        """(..., domains) tokens of each domain at a step."""
        return np.exp(self.intercept + self.slope * np.asarray(step)[..., None])

    def at_total(self, token_budget: float | Floats) -> Floats:
        """(..., domains) quantities at the step where they sum to the budget.

        The total is convex in the step, so bisection on its rising side finds the step; a budget
        below every total the lines can reach gets the quantities where the total is least.
        """
        lower = _bisect(lambda step: self._growth(step) > 0, self.intercept.shape[:-1])
        log_budget = np.log(token_budget)
        step = _bisect(
            lambda step: (self._log_total(step) > log_budget) & (step > lower),
            self.intercept.shape[:-1],
        )
        return self.quantities(step)

    def _log_total(self, step: Floats) -> Floats:
        exponent = self.intercept + self.slope * step[..., None]
        peak = exponent.max(-1)
        return peak + np.log(np.exp(exponent - peak[..., None]).sum(-1))

    def _growth(self, step: Floats) -> Floats:
        exponent = self.intercept + self.slope * step[..., None]
        weight = np.exp(exponent - exponent.max(-1, keepdims=True))
        return (weight * self.slope).sum(-1)


def _bisect(above: Callable[[Floats], Bools], shape: tuple[int, ...]) -> Floats:
    """(...) the step from which `above` holds, between -200 and 200."""
    lower, upper = np.full(shape, -200.0), np.full(shape, 200.0)
    for _ in range(70):
        middle = 0.5 * (lower + upper)
        holds = above(middle)
        lower, upper = np.where(holds, lower, middle), np.where(holds, middle, upper)
    return 0.5 * (lower + upper)


def fit_trend_lines(
    totals: Floats,
    quantities: Floats,
    *,
    use: Bools | None = None,
    slope_error: Floats | None = None,
    scale_error: Floats | None = None,
) -> TrendLines:
    """Fit the lines to optimal quantities at two or more scales.

    Two scales give the lines through both, as in the paper; more give least squares in log tokens,
    in which a scale counts by the precision of its optimum.
    The steps are even in the log of the total. Slopes that differ by less than their noise are
    shrunken towards their mean: each keeps the fraction of its distance from the mean slope that
    the noise does not explain (the James-Stein rule with the spread estimated from the slopes
    themselves), since a difference that is only noise would grow without bound with the budget.

    Args:
        totals: (scales,) token budgets, increasing.
        quantities: (..., scales, domains) optimal tokens, all positive.
        use: (scales, domains) which quantities count, two or more for each domain; all if absent.
        slope_error: (domains,) standard deviation of the slopes; nothing is shrunken without.
        scale_error: (scales,) standard deviation of the log quantities; all count alike without.

    Raises:
        UserError: Fewer than two scales.
    """
    if len(totals) < 2:
        raise UserError("projection: one scale is not enough; run the design at a second scale")
    weight = np.ones(quantities.shape[-2:]) if use is None else use.astype(np.float64)
    if scale_error is not None:
        weight = weight / scale_error[:, None] ** 2
    weight = weight / weight.sum(0)
    step = (np.log(totals / totals[0]) / np.log(totals[1] / totals[0]))[:, None]
    centred = step - (weight * step).sum(0)
    logs = np.log(quantities)
    slope = (weight * centred * logs).sum(-2) / (weight * centred**2).sum(0)
    middle = (weight * logs).sum(-2)
    if slope_error is not None:
        slope = _shrink_slopes(slope, slope_error)
    return TrendLines(intercept=middle - slope * (weight * step).sum(0), slope=slope)


def explained_by_trend(slope: Floats, slope_error: Floats) -> Floats:
    """(...) fraction of the slopes' spread that their noise does not explain, from 0 to 1."""
    if slope.shape[-1] < 2:
        return np.ones(slope.shape[:-1])
    spread = slope.var(-1, ddof=1)
    noise = (slope_error**2).mean()
    return np.clip(1 - noise / np.maximum(spread, 1e-300), 0.0, 1.0)


def _shrink_slopes(slope: Floats, slope_error: Floats) -> Floats:
    mean = slope.mean(-1, keepdims=True)
    return mean + (slope - mean) * explained_by_trend(slope, slope_error)[..., None]
