"""The mixtures that the constraints allow at one token budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.config import format_tokens
from contracts.errors import UserError
from contracts.experiment import Constraints
from fit.arrays import Floats

TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Feasible:
    """Shares `p` with `sum p = 1`, bounds, and whatever else the constraints ask."""

    domains: tuple[str, ...]
    low: Floats
    """(domains,) smallest shares."""
    high: Floats
    """(domains,) largest shares."""
    low_reason: tuple[str, ...]
    """Which rule gave each lower bound."""
    high_reason: tuple[str, ...]

    def binding(self, shares: Floats) -> dict[str, str]:
        """Name the rule that holds each domain which sits at a bound."""
        names = {}
        for i, domain in enumerate(self.domains):
            if shares[i] <= self.low[i] + TOLERANCE:
                names[domain] = self.low_reason[i]
            elif shares[i] >= self.high[i] - TOLERANCE:
                names[domain] = self.high_reason[i]
        return names


def feasible_set(
    constraints: Constraints,
    domains: Sequence[str],
    *,
    token_budget: float | None = None,
    available: Mapping[str, int] | None = None,
) -> Feasible:
    """Turn constraints into bounds on shares at one token budget.

    Args:
        constraints: What the experiment asks.
        domains: Training domains.
        token_budget: Tokens of the run; `max_epochs` needs it.
        available: Training tokens that exist of each domain; `max_epochs` needs them.

    Raises:
        UserError: No mixture satisfies all of them; the message names the smallest set of
            constraints that conflict. Or a constraint names an unknown domain.
    """
    _check_names(constraints, domains)
    low, low_reason = _lower_bounds(constraints, domains)
    high, high_reason = _upper_bounds(constraints, domains, token_budget, available)
    feasible = Feasible(
        domains=tuple(domains),
        low=low,
        high=high,
        low_reason=tuple(low_reason),
        high_reason=tuple(high_reason),
    )
    _check_bounds(feasible, token_budget)
    return feasible


def scale_into_bounds(shares: Floats, feasible: Feasible) -> Floats:
    """Project shares onto the bounds: the allowed mixture nearest in Kullback-Leibler divergence.

    All domains off their bounds keep their ratios: `p_i = clip(f * q_i, low_i, high_i)` with the
    factor f at which they sum to 1.

    Args:
        shares: (..., domains) positive.
        feasible: Where to.

    Returns:
        (..., domains) shares that sum to 1.
    """
    shares = np.maximum(shares, 1e-300)
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
    return shares + missing * weight / np.where(total > 0, total, 1.0)


def _check_names(constraints: Constraints, domains: Sequence[str]) -> None:
    for key in ("floor", "ceiling", "fixed"):
        value = getattr(constraints, key)
        unknown = sorted(set(value) - set(domains)) if isinstance(value, dict) else []
        if unknown:
            raise UserError(
                f"constraints.{key}: {unknown} are not training domains; "
                f"the domains are {list(domains)}"
            )


def _by_domain(value: float | dict[str, float], domain: str, default: float) -> float:
    return value.get(domain, default) if isinstance(value, dict) else value


def _lower_bounds(constraints: Constraints, domains: Sequence[str]) -> tuple[Floats, list[str]]:
    low, reasons = np.zeros(len(domains)), []
    for i, domain in enumerate(domains):
        fixed = constraints.fixed.get(domain)
        low[i] = _by_domain(constraints.floor, domain, 0.0) if fixed is None else fixed
        reasons.append("floor" if fixed is None else "fixed")
    return low, reasons


def _upper_bounds(
    constraints: Constraints,
    domains: Sequence[str],
    token_budget: float | None,
    available: Mapping[str, int] | None,
) -> tuple[Floats, list[str]]:
    high, reasons = np.ones(len(domains)), []
    for i, domain in enumerate(domains):
        fixed = constraints.fixed.get(domain)
        if fixed is not None:
            high[i] = fixed
            reasons.append("fixed")
            continue
        high[i] = _by_domain(constraints.ceiling, domain, 1.0)
        reasons.append("ceiling")
        if constraints.max_epochs and token_budget and available and domain in available:
            epochs_bound = constraints.max_epochs * available[domain] / token_budget
            if epochs_bound < high[i]:
                high[i], reasons[i] = epochs_bound, "max_epochs"
    return high, reasons


def _check_bounds(feasible: Feasible, token_budget: float | None) -> None:
    at = f" at {format_tokens(token_budget)} tokens" if token_budget else ""
    for i, domain in enumerate(feasible.domains):
        if feasible.low[i] > feasible.high[i] + TOLERANCE:
            raise UserError(
                f"constraints: no mixture is possible{at}: {domain} has "
                f"{feasible.low_reason[i]} {feasible.low[i]:.4g} above "
                f"{feasible.high_reason[i]} {feasible.high[i]:.4g}"
            )
    if feasible.low.sum() > 1 + TOLERANCE:
        names = _fewest(feasible.low, 1.0)
        parts = ", ".join(
            f"{feasible.domains[i]} {feasible.low_reason[i]} {feasible.low[i]:.4g}" for i in names
        )
        raise UserError(
            f"constraints: no mixture is possible{at}: the lower bounds sum to more than 1 "
            f"({parts}); lower one of them"
        )
    if feasible.high.sum() < 1 - TOLERANCE:
        parts = ", ".join(
            f"{domain} {reason} {bound:.4g}"
            for domain, reason, bound in zip(
                feasible.domains, feasible.high_reason, feasible.high, strict=True
            )
        )
        raise UserError(
            f"constraints: no mixture is possible{at}: the upper bounds sum to "
            f"{feasible.high.sum():.4g}, less than 1 ({parts}); raise max_epochs or a ceiling, "
            "or ask for fewer tokens"
        )


def _fewest(values: Floats, limit: float) -> list[int]:
    """The fewest values whose sum passes the limit."""
    order = np.argsort(-values, kind="stable")
    count = int(np.searchsorted(np.cumsum(values[order]), limit + TOLERANCE)) + 1
    return sorted(order[:count].tolist())
