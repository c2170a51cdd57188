"""The smallest set of constraints that conflict, against trying all of them."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints, GroupBound
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.constraints.conflict import _rules, _satisfiable, _too_far, find_conflict
from mixscale.fit.constraints.feasible import Feasible

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


def unchecked(domains: tuple[str, ...], constraints: Constraints) -> Feasible:
    """The set of mixtures without the complaint that there is none."""
    import mixscale.fit.constraints.conflict

    kept = mixscale.fit.constraints.conflict.check_feasible
    mixscale.fit.constraints.conflict.check_feasible = lambda feasible, token_budget: None
    try:
        return feasible_set(constraints, domains)
    finally:
        mixscale.fit.constraints.conflict.check_feasible = kept


def smallest_by_trying(feasible: Feasible) -> int | None:
    rules, count = _rules(feasible), len(feasible.domains)
    for size in range(len(rules) + 2):
        for chosen in itertools.combinations(rules, size):
            if not _satisfiable(chosen, count):
                return size
        if feasible.max_kl is None or not size:
            continue
        for chosen in itertools.combinations(rules, size - 1):
            if _too_far(feasible, chosen):
                return size
    return None


@settings(deadline=None, max_examples=25)
@given(asked())
def test_no_smaller_set_conflicts(question: tuple[tuple[str, ...], Constraints]) -> None:
    feasible = unchecked(*question)
    assume(len(_rules(feasible)) <= 7)
    found, least = find_conflict(feasible), smallest_by_trying(feasible)
    assert (found is None) == (least is None)
    if found is not None:
        assert len(found) == least
        assert found.proven


def test_a_hundred_domains_take_no_time() -> None:
    domains = tuple(f"d{i}" for i in range(100))
    started = time.perf_counter()
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
    assert time.perf_counter() - started < 10


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
