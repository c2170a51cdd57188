"""The same question gets the same advice, however the tables are written and redrawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import published
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import FoundMixture, Question
from mixscale.fit.inputs.mixture_order import groups_of_mixtures, in_order
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.mixing_law import choose
from mixscale.fit.uncertainty.intervals import (
    chance_of_sign,
    interval,
    normal_mixture_interval,
)


def advised(runs: Runs, law: str, seed: int) -> FoundMixture:
    chosen = choose(in_order(runs), law, Objective())
    question = Question(
        objective=chosen.objective,
        constraints=Constraints(),
        budgets=(300_000_000_000,),
        advice_seed=seed,
    )
    return find_mixtures(chosen.runs, chosen.law, chosen.noise, question).answers[-1]


@pytest.mark.parametrize(("size", "steps"), [("70M", (30000,)), ("160M", (10000, 30000))])
def test_other_resamples_say_the_same_or_that_it_is_a_border_case(
    tables: Path, size: str, steps: tuple[int, ...]
) -> None:
    runs = published.redpajama(size, tables, steps)
    found = [advised(runs, "joint", seed).advice for seed in range(3)]
    plain = {advice.change for advice in found if not advice.border}
    assert len(plain) <= 1
    assert not any(advice.change and advice.border for advice in found)


def reordered(runs: Runs, rng: np.random.Generator) -> Runs:
    rows, columns = rng.permutation(len(runs)), rng.permutation(len(runs.domains))
    moved = runs.where(rows.tolist())
    return replace(
        moved,
        domains=tuple(runs.domains[i] for i in columns),
        tokens=moved.tokens[:, columns],
    )


def test_another_order_of_rows_and_columns(tables: Path) -> None:
    runs = published.redpajama("70M", tables)
    plain = advised(runs, "joint", 0)
    for seed in range(2):
        other = advised(reordered(runs, np.random.default_rng(seed)), "joint", 0)
        if not (plain.advice.border or other.advice.border):
            assert other.advice.change == plain.advice.change
        assert other.advice.gain == pytest.approx(plain.advice.gain, rel=0.1)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_mixtures_are_left_out_together_whatever_the_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(4), 15)
    runs = published.swarm(
        "dbca", ("loss",), shares, rng.normal(size=(15, 1)), np.ones(15), "x" * 15
    )
    groups = groups_of_mixtures(runs, [True] * 15, 5)
    other = reordered(runs, rng)
    row_of = {round(float(loss), 9): k for k, loss in enumerate(runs.losses[:, 0])}
    rows = [row_of[round(float(loss), 9)] for loss in other.losses[:, 0]]
    np.testing.assert_array_equal(groups_of_mixtures(other, [True] * 15, 5), groups[rows])
    np.testing.assert_array_equal(in_order(other).losses, in_order(runs).losses)


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), centre=st.floats(-2, 2), wide=st.floats(0.05, 3))
def test_bounds_of_a_mixture_of_normals_are_those_of_its_draws(
    seed: int, centre: float, wide: float
) -> None:
    rng = np.random.default_rng(seed)
    means, deviations = centre + rng.normal(size=100), np.full(100, wide)
    drawn = means[:, None] + wide * rng.normal(size=(100, 400))
    low, high = normal_mixture_interval(means, deviations)
    spread = np.hypot(1, wide)
    np.testing.assert_allclose([low, high], interval(drawn.ravel()), atol=0.15 * spread)
    below, error = chance_of_sign(means, deviations)
    assert (low > 0) == (below < 0.05)
    assert abs(below - float((drawn < 0).mean())) < 0.05
    assert 0 <= error <= 0.05


def test_without_a_deviation_bounds_are_percentiles() -> None:
    draws: Floats = np.random.default_rng(0).normal(size=100)
    np.testing.assert_array_equal(normal_mixture_interval(draws, np.zeros(100)), interval(draws))
    assert chance_of_sign(draws, np.zeros(100))[0] == float((draws < 0).mean())
