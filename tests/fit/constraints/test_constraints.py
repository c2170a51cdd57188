"""Constraints: exact where they can be, explained where they conflict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints, GroupBound
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.optimize.convex import minimise
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.optimize.separable import separable_optimum

DOMAINS = ("web", "code", "books", "wiki")
PAIR = GroupBound(domains=("web", "wiki"), ceiling=0.3)


@settings(max_examples=80)
@given(
    a=st.lists(st.floats(0.05, 10), min_size=2, max_size=9),
    seed=st.integers(0, 10**6),
)
def test_the_optimum_satisfies_its_conditions(a: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(a)
    b, base = rng.uniform(0.05, 4, n), rng.uniform(0.2, 5, n)
    low, high = np.full(n, 0.01) / n, rng.uniform(1.2 / n, 1, n)
    tokens = separable_optimum(np.array(a), b, base, low, high, 1.0)
    assert tokens.sum() == pytest.approx(1, abs=1e-12)
    assert (tokens >= low - 1e-12).all()
    assert (tokens <= high + 1e-12).all()
    gain = b / base * (np.array(a) + tokens / base) ** (-b - 1)
    inner = (tokens > low * (1 + 1e-6)) & (tokens < high * (1 - 1e-6))
    if inner.any():
        price = np.median(gain[inner])
        np.testing.assert_allclose(gain[inner], price, rtol=1e-6)
        assert (gain[tokens <= low * (1 + 1e-6)] <= price * (1 + 1e-6)).all()
        assert (gain[tokens >= high * (1 - 1e-6)] >= price * (1 - 1e-6)).all()


def test_reordering_domains_reorders_the_answer() -> None:
    rng = np.random.default_rng(3)
    a, b, base = rng.uniform(0.1, 4, 6), rng.uniform(0.2, 2, 6), rng.uniform(0.5, 2, 6)
    low, high, order = np.full(6, 0.01), np.full(6, 1.0), rng.permutation(6)
    plain = separable_optimum(a, b, base, low, high, 1.0)
    moved = separable_optimum(a[order], b[order], base[order], low, high, 1.0)
    np.testing.assert_allclose(moved, plain[order], rtol=1e-9)


def test_groups_and_divergence_hold_and_are_named() -> None:
    asked = Constraints(
        groups={"prose": GroupBound(domains=("web", "books"), ceiling=0.5)},
        fixed={"wiki": 0.1},
        floor=0.02,
    )
    feasible = feasible_set(asked, DOMAINS)
    shares = scale_into_bounds(np.array([0.6, 0.1, 0.2, 0.1]), feasible)
    assert shares.sum() == pytest.approx(1, abs=1e-9)
    assert shares[0] + shares[2] == pytest.approx(0.5, abs=1e-5)
    assert shares[0] / shares[2] == pytest.approx(3, rel=1e-3)
    assert feasible.binding(shares)["wiki"] == "fixed"
    assert feasible.binding(shares)["web"] == "group prose"


def test_distance_to_a_prior_is_kept() -> None:
    prior = {"web": 0.4, "code": 0.3, "books": 0.2, "wiki": 0.1}
    feasible = feasible_set(Constraints(prior=prior, max_kl=0.05, floor=0.0), DOMAINS)
    wanted = np.array([0.0, 0.0, 0.0, -1.0])
    found = minimise(lambda p: (float(wanted @ p), wanted), feasible, feasible.prior)
    assert feasible.divergence(found.shares) == pytest.approx(0.05, abs=1e-5)
    # For a linear objective the optimum tilts the prior exponentially: others keep their ratios.
    np.testing.assert_allclose(found.shares[:3] / found.shares[0], [1, 0.75, 0.5], rtol=1e-3)


def test_the_gap_bounds_what_was_missed() -> None:
    feasible = feasible_set(Constraints(floor=0.05), DOMAINS)
    centre = np.array([0.7, 0.1, 0.1, 0.1])
    found = minimise(
        lambda p: (float(((p - centre) ** 2).sum()), 2 * (p - centre)), feasible, np.full(4, 0.25)
    )
    np.testing.assert_allclose(found.shares, centre, atol=1e-5)
    assert 0 <= found.gap + 1e-12 < 1e-4


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Constraints(floor=0.3), r"floor 0.3, .*conflict"),
        (Constraints(floor={"web": 0.6, "code": 0.5, "books": 0.01}),
         r"web floor 0.6, code floor 0.5 conflict"),
        (Constraints(floor={"web": 0.5}, ceiling={"web": 0.4}),
         r"web floor 0.5, web ceiling 0.4 conflict"),
        (Constraints(ceiling=0.2, floor=0.0), r"upper bounds sum to 0.8"),
        (Constraints(floor={"web": 0.4}, groups={"g": PAIR}),
         r"web floor 0.4, group g ceiling 0.3 conflict"),
        (Constraints(floor={"web": 0.9}, max_kl=0.1),
         r"web floor 0.9, max_kl 0.1 conflict; .* at least 0\.\d+"),
        (Constraints(floor={"webb": 0.1}), r"floor: \['webb'\] are not training domains"),
        (Constraints(groups={"g": GroupBound(domains=("x",))}), r"constraints.groups.g: \['x'\]"),
    ],
)  # fmt: skip
def test_impossible_constraints_name_the_smallest_conflict(
    asked: Constraints, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        feasible_set(asked, DOMAINS)


def test_epochs_bound_the_share_by_the_data() -> None:
    available = {"web": 10**9, "code": 10**6, "books": 10**9, "wiki": 10**9}
    feasible = feasible_set(
        Constraints(max_epochs=4, floor=0.0), DOMAINS, token_budget=10**8, available=available
    )
    assert feasible.high[1] == pytest.approx(0.04)
    assert feasible.high_reason[1] == "max_epochs"


@given(st.lists(st.floats(1e-6, 1), min_size=4, max_size=4))
def test_scaling_into_bounds_keeps_ratios_off_the_bounds(raw: list[float]) -> None:
    feasible = feasible_set(Constraints(floor=0.05, ceiling=0.6), DOMAINS)
    shares = np.array(raw) / sum(raw)
    moved = scale_into_bounds(shares, feasible)
    assert moved.sum() == pytest.approx(1, abs=1e-9)
    assert (moved >= 0.05 - 1e-9).all()
    assert (moved <= 0.6 + 1e-9).all()
    inner = (moved > 0.05 + 1e-7) & (moved < 0.6 - 1e-7)
    if inner.sum() > 1:
        ratio = moved[inner] / shares[inner]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


@pytest.mark.parametrize("count", [2, 20, 64, 100, 101, 1000])
def test_the_default_floor_leaves_room(count: int) -> None:
    feasible = feasible_set(Constraints(), [f"d{i}" for i in range(count)])
    assert feasible.low.max() == pytest.approx(min(0.01, 0.2 / count))


def test_the_default_floor_gives_way_to_what_is_asked() -> None:
    domains = [f"d{i}" for i in range(8)]
    group = GroupBound(domains=tuple(domains[:3]), ceiling=0.01)
    asked = [
        Constraints(ceiling={"d0": 0.001}),
        Constraints(fixed={"d0": 0.999}),
        Constraints(groups={"few": group}),
        Constraints(max_kl=0.001, prior=dict.fromkeys(domains[1:], 0.001) | {"d0": 0.993}),
        Constraints(max_epochs=1.0),
    ]
    for constraints in asked:
        feasible = feasible_set(
            constraints,
            domains,
            token_budget=1e9,
            available={"d0": 10**6} | dict.fromkeys(domains[1:], 10**9),
        )
        assert feasible.low.sum() <= 1


def test_a_floor_that_is_asked_for_stays_a_rule() -> None:
    with pytest.raises(UserError, match="no mixture is possible"):
        feasible_set(Constraints(floor=0.01), [f"d{i}" for i in range(101)])
