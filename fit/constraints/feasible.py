"""The mixtures that the constraints allow at one token budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.named_mixtures import shares_of

TOLERANCE = 1e-9
# Solvers for groups and divergence stop this near a bound.
_SOLVER_TOLERANCE = 1e-6


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
    group_names: tuple[str, ...]
    groups: Floats
    """(groups, domains) ones where a domain belongs to a group."""
    group_low: Floats
    group_high: Floats
    prior: Floats
    """(domains,) the mixture that the divergence is measured from."""
    max_kl: float | None = None
    """Nats."""

    @property
    def plain(self) -> bool:
        """Whether there are only bounds on single domains."""
        return not self.group_names and self.max_kl is None

    def divergence(self, shares: Floats) -> float:
        """Kullback-Leibler divergence from the prior, nats."""
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(shares > 0, shares * np.log(shares / self.prior), 0.0)
        return float(terms.sum())

    def binding(self, shares: Floats) -> dict[str, str]:
        """Name the rule that holds each domain which sits at a bound."""
        slack = TOLERANCE if self.plain else _SOLVER_TOLERANCE
        names = {}
        for i, domain in enumerate(self.domains):
            if shares[i] <= self.low[i] + slack:
                names[domain] = self.low_reason[i]
            elif shares[i] >= self.high[i] - slack:
                names[domain] = self.high_reason[i]
            else:
                names.update(self._shared_binding(i, shares, slack))
        return names

    def _shared_binding(self, i: int, shares: Floats, slack: float) -> dict[str, str]:
        """The group or the divergence that holds a domain off its own bounds."""
        for g, name in enumerate(self.group_names):
            share = float(self.groups[g] @ shares)
            at = share <= self.group_low[g] + slack or share >= self.group_high[g] - slack
            if self.groups[g, i] and at:
                return {self.domains[i]: f"group {name}"}
        if self.max_kl is not None and self.divergence(shares) >= self.max_kl - slack:
            return {self.domains[i]: "max_kl"}
        return {}


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
        UserError: No mixture satisfies all of them; the message names a smallest set of
            constraints that conflict. Or a constraint names an unknown domain.
    """
    from mixscale.fit.constraints.conflict import check_feasible

    _check_names(constraints, domains)
    low, low_reason = _lower_bounds(constraints, domains)
    high, high_reason = _upper_bounds(constraints, domains, token_budget, available)
    groups = constraints.groups
    feasible = Feasible(
        domains=tuple(domains),
        low=low,
        high=high,
        low_reason=tuple(low_reason),
        high_reason=tuple(high_reason),
        group_names=tuple(groups),
        groups=np.array(
            [[float(d in group.domains) for d in domains] for group in groups.values()]
        ).reshape(len(groups), len(domains)),
        group_low=np.array([group.floor for group in groups.values()], dtype=np.float64),
        group_high=np.array([group.ceiling for group in groups.values()], dtype=np.float64),
        prior=_prior(constraints, domains, available),
        max_kl=constraints.max_kl,
    )
    check_feasible(feasible, token_budget)
    return feasible


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
    from mixscale.fit.optimize.convex import nearest

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
    return shares + missing * weight / np.where(total > 0, total, 1.0)


def _check_names(constraints: Constraints, domains: Sequence[str]) -> None:
    named = {
        "floor": constraints.floor,
        "ceiling": constraints.ceiling,
        "fixed": constraints.fixed,
        "prior": constraints.prior,
    }
    named |= {f"groups.{name}": group.domains for name, group in constraints.groups.items()}
    for key, value in named.items():
        if isinstance(value, float | int | str):
            continue
        unknown = sorted(set(value) - set(domains))
        if unknown:
            raise UserError(
                f"constraints.{key}: {unknown} are not training domains; "
                f"the domains are {list(domains)}"
            )


def _prior(
    constraints: Constraints, domains: Sequence[str], available: Mapping[str, int] | None
) -> Floats:
    prior = constraints.prior
    if prior == "natural" and not available:
        raise UserError("constraints.prior: natural needs the number of available tokens")
    return shares_of(prior, domains, available or {})


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
