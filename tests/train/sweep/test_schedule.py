"""The order of runs: nothing lost, never later than longest first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.train.sweep.schedule import best_order, end_of


@pytest.mark.parametrize(
    ("costs", "places", "end"),
    [
        ([], 2, 0.0),
        ([3, 2, 2], 1, 7.0),
        ([3, 2, 2], 2, 4.0),  # the third run starts at 2, where the second ends
        ([2, 2, 3], 2, 5.0),  # and here at 2, beside nothing
        ([1, 1], 5, 1.0),
    ],
)
def test_when_the_last_run_ends(costs: list[float], places: int, end: float) -> None:
    assert end_of(costs, places) == end


@given(costs=st.lists(st.floats(0.1, 50), max_size=24), places=st.integers(1, 6))
def test_what_holds_for_every_order(costs: list[float], places: int) -> None:
    order = best_order(costs, places)
    assert sorted(order) == list(range(len(costs)))
    assert order == best_order(costs, places)
    end = end_of([costs[position] for position in order], places)
    assert end <= end_of(sorted(costs, reverse=True), places) + 1e-9
    assert end >= max(sum(costs) / places, max(costs, default=0)) - 1e-9


def test_seven_domains_on_two_cores() -> None:
    """A base, seven domains times three, seven by three: no core waits for the last run."""
    costs = [7.0] + [9.0] * 7 + [6 + 1 / 3] * 7
    share = sum(costs) / 2
    assert end_of(sorted(costs, reverse=True), 2) / share == pytest.approx(1.038, abs=0.001)
    assert end_of([costs[position] for position in best_order(costs, 2)], 2) / share < 1.01
