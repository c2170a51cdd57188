"""The smallest set of constraints that conflict, against trying all of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, linprog, minimize

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints, GroupBound
from mixscale.fit.constraints.bounds import bounds, feasible_set
from mixscale.fit.constraints.conflict import find_conflict

NAMES = tuple("abcde")
SHARES = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8])


@st.composite
def asked(draw: st.DrawFn) -> tuple[tuple[str, ...], Constraints]:
    domains = NAMES[: draw(st.integers(2, 5))]
    some = st.lists(st.sampled_from(domains), min_size=1, max_size=3, unique=True)
    bound = st.builds(
        lambda names, low, high: GroupBound(domains=tuple(names), floor=low, ceiling=1 - high),
        some,
        SHARES,
        SHARES,
    )
    return domains, Constraints(
        floor=draw(st.dictionaries(st.sampled_from(domains), SHARES)),
        ceiling=draw(
            st.dictionaries(st.sampled_from(domains), st.sampled_from([0.05, 0.15, 0.3, 0.5, 1.0]))
        ),
        fixed=draw(st.dictionaries(st.sampled_from(domains), SHARES, max_size=2)),
        groups=draw(st.dictionaries(st.sampled_from(["g", "h"]), bound, max_size=2)),
        max_kl=draw(st.sampled_from([None, None, 0.02, 0.2])),
    )


Rule = tuple[np.ndarray, np.ndarray]
"""Rows and limits of one constraint as the user wrote it: `rows @ shares <= limits`."""


def rules_of(domains: tuple[str, ...], constraints: Constraints) -> list[Rule]:
    """The constraints but `max_kl`, written down without the code under test."""
    unit = dict(zip(domains, np.eye(len(domains)), strict=True))
    assert isinstance(constraints.floor, dict)
    assert isinstance(constraints.ceiling, dict)
    rules = []
    for domain, row in unit.items():
        if domain in constraints.fixed:
            share = constraints.fixed[domain]
            rules.append((np.stack([row, -row]), np.array([share, -share])))
            continue
        if constraints.floor.get(domain, 0.0) > 0:
            rules.append((-row[None], np.array([-constraints.floor[domain]])))
        if constraints.ceiling.get(domain, 1.0) < 1:
            rules.append((row[None], np.array([constraints.ceiling[domain]])))
    for group in constraints.groups.values():
        row = np.sum([unit[domain] for domain in group.domains], axis=0)
        if group.floor > 0:
            rules.append((-row[None], np.array([-group.floor])))
        if group.ceiling < 1:
            rules.append((row[None], np.array([group.ceiling])))
    return rules


def stacked(rules: Sequence[Rule], count: int) -> Rule:
    rows = np.concatenate([np.zeros((0, count)), *(rows for rows, _ in rules)])
    return rows, np.concatenate([np.zeros(0), *(limits for _, limits in rules)])


def possible(rules: Sequence[Rule], count: int) -> bool:
    rows, limits = stacked(rules, count)
    result = linprog(
        np.zeros(count), A_ub=rows, b_ub=limits + 1e-9, A_eq=np.ones((1, count)), b_eq=[1.0]
    )
    return result.status == 0


def least_divergence(rules: Sequence[Rule], count: int) -> float:
    """Smallest divergence from the uniform prior, nats, by an interior-point method."""
    rows, limits = stacked(rules, count)
    upper: Any = limits  # scipy's annotations know no arrays here
    result = minimize(
        lambda p: float((p * np.log(np.maximum(p, 1e-300) * count)).sum()),
        np.full(count, 1 / count),
        jac=lambda p: np.log(np.maximum(p, 1e-300) * count) + 1,
        method="trust-constr",
        bounds=[(1e-9, 1)] * count,
        constraints=[
            LinearConstraint(np.ones((1, count)), 1.0, 1.0),
            *([LinearConstraint(rows, -np.inf, upper)] if len(rows) else []),
        ],
        options={"gtol": 1e-9, "maxiter": 2000},
    )
    return float(result.fun)


def smallest_by_trying(domains: tuple[str, ...], constraints: Constraints) -> int | None:
    rules, count = rules_of(domains, constraints), len(domains)
    for size in range(len(rules) + 2):
        if any(not possible(few, count) for few in itertools.combinations(rules, size)):
            return size
        if constraints.max_kl is None or not size:
            continue
        for few in itertools.combinations(rules, size - 1):
            divergence = least_divergence(few, count)
            # So near the limit the two solvers may round to different sides.
            assume(abs(divergence - constraints.max_kl) > 1e-3)
            if divergence > constraints.max_kl:
                return size
    return None


@settings(max_examples=25)
@given(asked())
def test_no_smaller_set_conflicts(question: tuple[tuple[str, ...], Constraints]) -> None:
    domains, constraints = question
    assume(len(rules_of(domains, constraints)) <= 7)
    found, least = find_conflict(bounds(constraints, domains)), smallest_by_trying(*question)
    assert (found is None) == (least is None)
    if found is not None:
        assert len(found) == least
        assert found.proven


def test_a_hundred_domains() -> None:
    domains = tuple(f"d{i}" for i in range(100))
    with pytest.raises(UserError) as caught:
        feasible_set(Constraints(floor=0.02), domains)
    # 51 floors of 0.02 are more than 1, 50 are not.
    assert str(caught.value).count("floor") == 51
    floors = {d: 0.005 + 0.0001 * i for i, d in enumerate(domains)}
    with pytest.raises(UserError, match=r"d0 floor 0.4, group g ceiling 0.3 conflict"):
        feasible_set(
            Constraints(
                floor=floors | {"d0": 0.4},
                groups={"g": GroupBound(domains=domains[:50], ceiling=0.3)},
            ),
            domains,
        )


def test_what_cannot_be_proven_is_said() -> None:
    domains = tuple(f"d{i}" for i in range(60))
    floors = {d: 0.03 for d in domains[:30]}
    with pytest.raises(UserError, match=r"max_kl 0.1 conflict.*fewer others may conflict"):
        feasible_set(Constraints(floor=floors, max_kl=0.1), domains)


def test_one_fixed_share_is_one_constraint() -> None:
    with pytest.raises(UserError, match=r": a fixed 0.6, b fixed 0.5 conflict"):
        feasible_set(Constraints(fixed={"a": 0.6, "b": 0.5}, floor=0.0), ("a", "b", "c"))


def test_a_group_of_all_domains_cannot_have_less_than_everything() -> None:
    group = GroupBound(domains=("a", "b"), ceiling=0.5)
    with pytest.raises(UserError, match=r"group all ceiling 0\.5 cannot hold"):
        feasible_set(Constraints(groups={"all": group}, floor=0.0), ("a", "b"))


def test_the_prior_itself_can_be_what_conflicts() -> None:
    with pytest.raises(UserError, match=r"a floor 0.9, max_kl 0.1 conflict; the others need"):
        feasible_set(Constraints(floor={"a": 0.9, "b": 0.05}, max_kl=0.1), ("a", "b", "c"))
    assert np.isclose(feasible_set(Constraints(floor=0.0), ("a", "b")).low.sum(), 0)
