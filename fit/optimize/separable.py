"""Exact optimum of separable convex responses on a bounded simplex."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixscale.fit.arrays import Floats


def separable_optimum(
    a: Floats, b: Floats, base: Floats, low: Floats, high: Floats, total: float
) -> Floats:
    """Minimise `sum_i (a_i + N_i / base_i)^(-b_i)` with `sum N = total`, `low <= N <= high`.

    The Karush-Kuhn-Tucker conditions leave one unknown, the multiplier of the total: each `N_i`
    follows from it in closed form, decreasing in it, so bisection finds it (arXiv 2407.20177,
    sec. 3, solves the same problem by gradient steps). Domains with `b = 0` do not answer: they
    stay at `low` as long as the others have room.

    Args:
        a, b: (..., domains) parameters of the curves.
        base: (domains,) tokens that are `x = 1`.
        low, high: (domains,) bounds in tokens, `sum low <= total <= sum high`.
        total: tokens.

    Returns:
        (..., domains) tokens that sum to `total`.
    """
    a, b = np.broadcast_arrays(a, b)
    answers = b > 0
    scale = total / base
    low_x, high_x = low / base, high / base
    safe_b = np.where(answers, b, 1.0)
    log_gain = np.log(safe_b * scale)  # the derivative by share is gain * (a + x)^(-b - 1)

    def tokens_at(log_price: Floats) -> Floats:
        x = np.exp((log_gain - log_price[..., None]) / (safe_b + 1)) - a
        x = np.where(answers, np.clip(x, low_x, high_x), low_x)
        return x * base

    room = np.where(answers, high, low).sum(-1)
    tokens = tokens_at(_price(tokens_at, log_gain, a, safe_b, low_x, high_x, total))
    tokens = np.where((room < total)[..., None], np.where(answers, high, low), tokens)
    return _settle(tokens, low, high, base, total)


def _price(
    tokens_at: Callable[[Floats], Floats],
    log_gain: Floats,
    a: Floats,
    b: Floats,
    low_x: Floats,
    high_x: Floats,
    total: float,
) -> Floats:
    """(...) log of the multiplier at which the tokens sum to the total."""
    lower = (log_gain - (b + 1) * np.log(a + high_x)).min(-1) - 1.0
    upper = (log_gain - (b + 1) * np.log(a + low_x)).max(-1) + 1.0
    for _ in range(90):
        middle = 0.5 * (lower + upper)
        too_much = tokens_at(middle).sum(-1) > total
        lower, upper = np.where(too_much, middle, lower), np.where(too_much, upper, middle)
    return 0.5 * (lower + upper)


def _settle(tokens: Floats, low: Floats, high: Floats, base: Floats, total: float) -> Floats:
    """Spread what rounding, or domains that do not answer, left over; keep the bounds."""
    for _ in range(3):
        missing = total - tokens.sum(-1, keepdims=True)
        room = np.where(missing > 0, high - tokens, tokens - low) > 0
        weight = np.where(room, base, 0.0)
        spread = weight / np.maximum(weight.sum(-1, keepdims=True), 1e-300)
        tokens = np.clip(tokens + missing * spread, low, high)
    return tokens
