"""Constraints that no mixture satisfies together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.config import format_tokens
from contracts.errors import UserError
from fit.arrays import Floats
from fit.feasible import TOLERANCE, Feasible


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One linear constraint `row . shares <= limit`."""

    name: str
    row: Floats
    limit: float


def check_feasible(feasible: Feasible, token_budget: float | None) -> None:
    """Raise unless some mixture satisfies every constraint.

    Raises:
        UserError: None does; the message lists a set of constraints that cannot hold together
            and of which each is needed for the conflict.
    """
    at = f" at {format_tokens(token_budget)} tokens" if token_budget else ""
    if feasible.group_names or not _bounds_allow(feasible):
        rules = _rules(feasible)
        if not _satisfiable(rules, len(feasible.domains)):
            names = ", ".join(rule.name for rule in _smallest_conflict(rules, feasible))
            upper = feasible.high.sum()
            hint = (
                f"; the upper bounds sum to {upper:.4g}, less than 1: raise max_epochs or a "
                "ceiling, or ask for fewer tokens"
                if upper < 1 - TOLERANCE
                else "; change one of them"
            )
            raise UserError(f"constraints: no mixture is possible{at}: {names} conflict{hint}")
    if feasible.max_kl is not None:
        _check_divergence(feasible, at)


def _bounds_allow(feasible: Feasible) -> bool:
    ordered = (feasible.low <= feasible.high + TOLERANCE).all()
    return bool(
        ordered and feasible.low.sum() <= 1 + TOLERANCE and feasible.high.sum() >= 1 - TOLERANCE
    )


def _rules(feasible: Feasible) -> list[Rule]:
    """Every bound that can bind, as rules."""
    rules = []
    unit = np.eye(len(feasible.domains))
    for i, domain in enumerate(feasible.domains):
        if feasible.low[i] > 0:
            name = f"{domain} {feasible.low_reason[i]} {feasible.low[i]:.4g}"
            rules.append(Rule(name=name, row=-unit[i], limit=-feasible.low[i]))
        if feasible.high[i] < 1:
            name = f"{domain} {feasible.high_reason[i]} {feasible.high[i]:.4g}"
            rules.append(Rule(name=name, row=unit[i], limit=feasible.high[i]))
    for g, group in enumerate(feasible.group_names):
        low, high = feasible.group_low[g], feasible.group_high[g]
        rules.append(
            Rule(name=f"group {group} floor {low:.4g}", row=-feasible.groups[g], limit=-low)
        )
        rules.append(
            Rule(name=f"group {group} ceiling {high:.4g}", row=feasible.groups[g], limit=high)
        )
    return rules


def _satisfiable(rules: list[Rule], domains: int) -> bool:
    from scipy.optimize import linprog

    result = linprog(
        np.zeros(domains),
        A_ub=np.array([rule.row for rule in rules]) if rules else None,
        b_ub=np.array([rule.limit for rule in rules]) + TOLERANCE if rules else None,
        A_eq=np.ones((1, domains)),
        b_eq=[1.0],
        bounds=(0, None),
    )
    return result.status == 0


def _smallest_conflict(rules: list[Rule], feasible: Feasible) -> list[Rule]:
    """Drop rules as long as the rest still conflict; of several orders keep the shortest result.

    What remains is irreducible. Dropping the weakest bounds first leads to few, strong ones.
    """
    count = len(feasible.domains)
    by_strength = sorted(rules, key=lambda rule: -rule.limit if rule.limit < 0 else 1 - rule.limit)
    results = []
    for order in (by_strength, by_strength[::-1], rules):
        kept = list(rules)
        for rule in order:
            fewer = [other for other in kept if other is not rule]
            if not _satisfiable(fewer, count):
                kept = fewer
        results.append(kept)
    return min(results, key=len)


def _check_divergence(feasible: Feasible, at: str) -> None:
    from fit.convex import nearest

    limit = feasible.max_kl
    assert limit is not None
    closest = nearest(feasible.prior, feasible, feasible.prior, within_kl=False)
    needed = feasible.divergence(closest)
    if needed > limit + TOLERANCE:
        raise UserError(
            f"constraints: no mixture is possible{at}: the other constraints need a divergence of "
            f"at least {needed:.4g} from the prior, max_kl is {limit:.4g}"
        )
