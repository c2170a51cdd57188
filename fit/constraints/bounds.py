"""Constraints turned into bounds on the shares at one token budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.conflict import check_feasible, find_conflict
from mixscale.fit.constraints.covered import Range, limit_to_covered
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.named_mixtures import shares_of

NOT_VARIED = "not varied"
"""Why a domain keeps the share that it has in every run."""
_DEFAULT_FLOOR, _OF_EQUAL_SHARE = 0.01, 0.2


def feasible_set(
    constraints: Constraints,
    domains: Sequence[str],
    *,
    token_budget: float | None = None,
    available: Mapping[str, int] | None = None,
    held: Mapping[str, float] | None = None,
    covered: Mapping[str, Range] | None = None,
) -> Feasible:
    """Turn constraints into bounds on shares at one token budget.

    Args:
        constraints: What the experiment asks.
        domains: Training domains.
        token_budget: Tokens of the run; `max_epochs` needs it.
        available: Training tokens that exist of each domain; `max_epochs` needs them.
        held: Share of each domain that no run varies, see `unvaried.py`.
        covered: Range of shares by domain that the runs cover, see `covered.py`. It gives way where
            the constraints allow no mixture within it.

    Raises:
        UserError: No mixture satisfies all of them; the message names a smallest set of
            constraints that conflict. Or a constraint names an unknown domain.
    """
    limits = partial(
        bounds, constraints, domains, token_budget=token_budget, available=available, held=held
    )
    if covered:
        within = limits(covered=covered)
        if find_conflict(within) is None:
            return within
    feasible = limits()
    check_feasible(feasible, token_budget)
    return feasible


def bounds(
    constraints: Constraints,
    domains: Sequence[str],
    *,
    token_budget: float | None = None,
    available: Mapping[str, int] | None = None,
    held: Mapping[str, float] | None = None,
    covered: Mapping[str, Range] | None = None,
) -> Feasible:
    """The same without asking whether any mixture satisfies them.

    Raises:
        UserError: A constraint names an unknown domain.
    """
    _check_names(constraints, domains)
    low, low_reason = _lower_bounds(constraints, domains)
    high, high_reason = _upper_bounds(constraints, domains, token_budget, available)
    groups = constraints.groups
    prior = _prior(constraints, domains, available)
    _hold(held or {}, domains, constraints, (low, high), (low_reason, high_reason))
    if constraints.floor is None:
        low = np.maximum(low, _default_floor(constraints, domains, low, high, prior))
    limit_to_covered(covered or {}, tuple(domains), (low, high), (low_reason, high_reason))
    return Feasible(
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
        prior=prior,
        max_kl=constraints.max_kl,
    )


def _check_names(constraints: Constraints, domains: Sequence[str]) -> None:
    named = {
        "floor": constraints.floor,
        "ceiling": constraints.ceiling,
        "fixed": constraints.fixed,
        "prior": constraints.prior,
    }
    named |= {f"groups.{name}": group.domains for name, group in constraints.groups.items()}
    for key, value in named.items():
        if value is None or isinstance(value, float | int | str):
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
        low[i] = _by_domain(constraints.floor or 0.0, domain, 0.0) if fixed is None else fixed
        reasons.append("floor" if fixed is None else "fixed")
    return low, reasons


def _default_floor(
    constraints: Constraints, domains: Sequence[str], low: Floats, high: Floats, prior: Floats
) -> Floats:
    """(domains,) a small share that gives way to everything the user asks for."""
    free = high > low
    room = max(1 - float(low.sum()), 0.0)
    equal = _OF_EQUAL_SHARE * room / max(int(free.sum()), 1)
    floor = np.where(free, np.minimum(min(_DEFAULT_FLOOR, equal), high), 0.0)
    if constraints.max_kl is not None:
        floor = np.minimum(floor, _OF_EQUAL_SHARE * prior)
    for group in constraints.groups.values():
        members = np.array([domain in group.domains for domain in domains])
        most = _OF_EQUAL_SHARE * group.ceiling / max(int(members.sum()), 1)
        floor = np.where(members, np.minimum(floor, most), floor)
    return floor


def _hold(
    held: Mapping[str, float],
    domains: Sequence[str],
    constraints: Constraints,
    limits: tuple[Floats, Floats],
    reasons: tuple[list[str], list[str]],
) -> None:
    """Keep shares that no run varies, as far as what the user asked of the domain allows."""
    low, high = limits
    for i, domain in enumerate(domains):
        if domain not in held or domain in constraints.fixed:
            continue
        least = 0.0 if constraints.floor is None else low[i]
        low[i] = high[i] = float(np.clip(held[domain], least, max(high[i], least)))
        reasons[0][i] = reasons[1][i] = NOT_VARIED


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
