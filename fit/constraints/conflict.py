"""Constraints that no mixture satisfies together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import TOLERANCE, Feasible
from mixscale.fit.optimize.nearest import nearest, scale_into_bounds

_SECONDS = 5.0
"""Time for the integer programs of one conflict."""
_MOST_TRIES = 400
"""Sets of rules that are tried with `max_kl`, one convex solve each."""
_MARGIN = 2e-5
"""Conflicts by less than this share of tokens are not told apart from the solver's rounding."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One constraint of the user: linear, `rows @ shares <= limits`."""

    name: str
    rows: Floats
    """(rows, domains)."""
    limits: Floats
    """(rows,)."""


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Rules that cannot hold together."""

    rules: tuple[Rule, ...]
    with_divergence: bool = False
    """Whether `max_kl` is one of them too."""
    proven: bool = True
    """Whether it is known that no fewer rules conflict."""

    def __len__(self) -> int:
        """The number of constraints."""
        return len(self.rules) + self.with_divergence


def check_feasible(feasible: Feasible, token_budget: float | None) -> None:
    """Raise unless some mixture satisfies every constraint.

    Raises:
        UserError: None does; the message lists a smallest set of constraints that cannot hold
            together, or says that a smaller one may exist.
    """
    found = find_conflict(feasible)
    if found is None:
        return
    names = [rule.name for rule in found.rules]
    if found.with_divergence:
        names.append(f"max_kl {feasible.max_kl:.4g}")
    at = f" at {format_tokens(token_budget)} tokens" if token_budget else ""
    verb = "conflict" if len(names) > 1 else "cannot hold"
    raise UserError(
        f"constraints: no mixture is possible{at}: {', '.join(names)} {verb}"
        f"{_hint(found, feasible)}"
    )


def find_conflict(feasible: Feasible) -> Conflict | None:
    """Find a smallest set of constraints that no mixture satisfies; None if there is none.

    Linear rules: a smallest set is the smallest support of a certificate of infeasibility
    (Gleeson and Ryan, 1990, "Identifying minimally infeasible subsystems of inequalities"), which
    an integer program finds. `max_kl` is not linear: sets with it are tried by size.
    """
    linear = None
    rules = _rules(feasible)
    count = len(feasible.domains)
    if (feasible.group_names or not _bounds_allow(feasible)) and not _satisfiable(rules, count):
        linear = _smallest_linear(rules, count)
    if feasible.max_kl is None or (linear is not None and len(linear) <= 1):
        return linear
    return _with_divergence(feasible, rules, linear)


def _hint(found: Conflict, feasible: Feasible) -> str:
    texts = []
    if found.with_divergence:
        closest = _closest(feasible, found.rules)
        if closest is not None:
            needed = feasible.divergence(closest)
            texts.append(f"the others need a divergence of at least {needed:.4g} from the prior")
    upper = feasible.high.sum()
    if upper < 1 - TOLERANCE:
        texts.append(
            f"the upper bounds sum to {upper:.4g}, less than 1: raise max_epochs or a ceiling, or "
            "ask for fewer tokens"
        )
    if not found.proven:
        texts.append("none of these can be left out, but fewer others may conflict as well")
    return "; " + "; ".join(texts or ["change one of them"])


def _bounds_allow(feasible: Feasible) -> bool:
    ordered = (feasible.low <= feasible.high + TOLERANCE).all()
    return bool(
        ordered and feasible.low.sum() <= 1 + TOLERANCE and feasible.high.sum() >= 1 - TOLERANCE
    )


def _rules(feasible: Feasible) -> list[Rule]:
    """Every bound that can bind, as the user wrote them."""
    rules = []
    unit = np.eye(len(feasible.domains))
    for i, domain in enumerate(feasible.domains):
        low, high = feasible.low[i], feasible.high[i]
        if feasible.low_reason[i] == "fixed":
            name = f"{domain} fixed {low:.4g}"
            rows, limits = np.stack([-unit[i], unit[i]]), np.array([-low, high])
            rules.append(Rule(name=name, rows=rows, limits=limits))
            continue
        if low > 0:
            rules.append(_rule(f"{domain} {feasible.low_reason[i]} {low:.4g}", -unit[i], -low))
        if high < 1:
            rules.append(_rule(f"{domain} {feasible.high_reason[i]} {high:.4g}", unit[i], high))
    for g, group in enumerate(feasible.group_names):
        low, high, row = feasible.group_low[g], feasible.group_high[g], feasible.groups[g]
        if low > 0:
            rules.append(_rule(f"group {group} floor {low:.4g}", -row, -low))
        if high < 1:
            rules.append(_rule(f"group {group} ceiling {high:.4g}", row, high))
    return rules


def _rule(name: str, row: Floats, limit: float) -> Rule:
    return Rule(name=name, rows=row[None], limits=np.array([limit]))


def _stack(rules: Sequence[Rule], domains: int) -> tuple[Floats, Floats]:
    rows = np.concatenate([rule.rows for rule in rules]) if rules else np.zeros((0, domains))
    limits = np.concatenate([rule.limits for rule in rules]) if rules else np.zeros(0)
    return rows, limits


def _satisfiable(rules: Sequence[Rule], domains: int) -> bool:
    from scipy.optimize import linprog

    rows, limits = _stack(rules, domains)
    result = linprog(
        np.zeros(domains),
        A_ub=rows if len(rows) else None,
        b_ub=limits + TOLERANCE if len(rows) else None,
        A_eq=np.ones((1, domains)),
        b_eq=[1.0],
        bounds=(0, None),
    )
    return result.status == 0


def _smallest_linear(rules: list[Rule], domains: int) -> Conflict:
    """The smallest conflict that a certificate of any sign of the sum's multiplier gives."""
    found, proven = None, True
    for sign in (0.0, 1.0, -1.0):
        kept, optimal = _certificate(rules, domains, sign)
        proven = proven and optimal
        if kept and not _satisfiable(kept, domains) and (found is None or len(kept) < len(found)):
            found = kept
    if found is None:
        found, proven = rules, False
    kept = _irreducible(found, domains)
    return Conflict(rules=tuple(kept), proven=proven)


def _certificate(rules: list[Rule], domains: int, sign: float) -> tuple[list[Rule], bool]:
    """Rules of the sparsest certificate, and whether it is known to be the sparsest.

    By Farkas' lemma no shares `x >= 0` with `sum x = 1` satisfy `R x <= l` exactly if there are
    multipliers y >= 0 and m with `R'y + m >= 0` and `l'y + m < 0`. They can be scaled so that m is
    0, 1 or -1, and for m = 0 so that those of the upper bounds sum to 1.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    rows, limits = _stack(rules, domains)
    count, owner = len(rows), np.repeat(np.arange(len(rules)), [len(r.rows) for r in rules])
    upper = rows.max(1) > 0
    largest = 1.0 if sign == 0 else 1.0 + (np.abs(rows).sum(1) > 1).sum()
    used = np.zeros((count, len(rules)))
    used[np.arange(count), owner] = -largest
    none = np.zeros(len(rules))
    constraints = [
        LinearConstraint(np.hstack([rows.T, np.zeros((domains, len(rules)))]), -sign, np.inf),
        LinearConstraint(np.concatenate([limits, none]), -np.inf, -sign - _MARGIN),
        LinearConstraint(np.hstack([np.eye(count), used]), -np.inf, 0.0),
    ]
    if sign == 0:
        constraints.append(LinearConstraint(np.concatenate([upper, none]), 1.0, 1.0))
    # scipy's annotations know no arrays here.
    lowest: Any = np.zeros(count + len(rules))
    highest: Any = np.concatenate([np.full(count, largest), np.ones(len(rules))])
    result = milp(
        np.concatenate([np.zeros(count), np.ones(len(rules))]),
        integrality=np.concatenate([np.zeros(count), np.ones(len(rules))]),
        bounds=Bounds(lowest, highest),
        constraints=constraints,
        options={"time_limit": _SECONDS / 3},
    )
    if result.x is None:
        return [], result.status == 2  # 2: there is no certificate of this sign
    return [r for r, b in zip(rules, result.x[count:], strict=True) if b > 0.5], result.status == 0


def _irreducible(rules: Sequence[Rule], domains: int) -> list[Rule]:
    """Drop rules as long as the rest still conflict."""
    kept = list(rules)
    for rule in rules:
        fewer = [other for other in kept if other is not rule]
        if not _satisfiable(fewer, domains):
            kept = fewer
    return kept


def _with_divergence(
    feasible: Feasible, rules: list[Rule], linear: Conflict | None
) -> Conflict | None:
    """A conflict that `max_kl` takes part in, if it has fewer members than the linear one."""
    if linear is None and not _too_far(feasible, rules):
        return None
    most = len(rules) if linear is None else len(linear) - 2
    tries = 0
    for size in range(most + 1):
        for chosen in itertools.combinations(rules, size):
            tries += 1
            if tries > _MOST_TRIES:
                return _unproven(feasible, rules, linear)
            if _too_far(feasible, chosen):
                return Conflict(rules=chosen, with_divergence=True)
    return linear


def _unproven(feasible: Feasible, rules: list[Rule], linear: Conflict | None) -> Conflict:
    """What is known when the tries are used up: no rule of the result can be left out."""
    if linear is not None:
        return replace(linear, proven=False)
    kept = list(rules)
    for rule in sorted(rules, key=lambda rule: _strain(feasible, rule)):
        fewer = [other for other in kept if other is not rule]
        if _too_far(feasible, fewer):
            kept = fewer
    return Conflict(rules=tuple(kept), with_divergence=True, proven=False)


def _strain(feasible: Feasible, rule: Rule) -> float:
    """How far the prior violates a rule: those it violates least are dropped first."""
    return float((rule.rows @ feasible.prior - rule.limits).max())


def _too_far(feasible: Feasible, rules: Sequence[Rule]) -> bool:
    """Whether rules that can hold together keep every mixture beyond `max_kl`."""
    assert feasible.max_kl is not None
    closest = _closest(feasible, rules)
    return closest is not None and feasible.divergence(closest) > feasible.max_kl + 1e-7


def _closest(feasible: Feasible, rules: Sequence[Rule]) -> Floats | None:
    """The mixture nearest the prior under some of the rules; None if they exclude each other."""
    fewer = _only(feasible, rules)
    single = not fewer.group_names
    if not (_bounds_allow(fewer) if single else _satisfiable(rules, len(feasible.domains))):
        return None
    if single:
        return scale_into_bounds(feasible.prior, replace(fewer, max_kl=None))
    return nearest(feasible.prior, fewer, feasible.prior, within_kl=False)


def _only(feasible: Feasible, rules: Sequence[Rule]) -> Feasible:
    """The allowed mixtures under some rules alone."""
    rows, limits = _stack(rules, len(feasible.domains))
    single = np.abs(rows).sum(1) == 1
    low, high = np.zeros(len(feasible.domains)), np.ones(len(feasible.domains))
    for row, limit in zip(rows[single], limits[single], strict=True):
        i = int(np.abs(row).argmax())
        if row[i] > 0:
            high[i] = min(high[i], limit)
        else:
            low[i] = max(low[i], -limit)
    groups, bounds = rows[~single], limits[~single]
    above = groups.max(1, initial=-1) > 0
    return replace(
        feasible,
        low=low,
        high=high,
        group_names=tuple(str(g) for g in range(len(groups))),
        groups=np.abs(groups),
        group_low=np.where(above, 0.0, -bounds),
        group_high=np.where(above, bounds, 1.0),
        max_kl=None,
    )
