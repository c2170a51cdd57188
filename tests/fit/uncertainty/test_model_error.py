"""Intervals hold what unseen runs measured, whatever law was fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import published
from benchmarks.coverage import Case, Held, count_held, drawn_at, edge
from benchmarks.recovery import SHARES_ONLY, fit_trial, swarm_trial
from mixscale.contracts.experiment import Objective
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.uncertainty.gain import Predictor, gain_over
from mixscale.fit.uncertainty.model_error import DrawsWithError
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE


@pytest.mark.parametrize("law", ["joint", "loglinear", "linear"])
def test_unseen_mixtures_of_a_published_table(tables: Path, law: str) -> None:
    # Without the law's own error 57 %, 67 % and 64 %; see docs/validation/advice.md for all tables.
    train, test = published.regmix(tables), published.regmix(tables, "test")
    chosen = np.sort(np.random.default_rng(5).permutation(len(train))[:64])
    held = Held()
    count_held(Case(table="regmix", fitted=train.where(chosen.tolist()), unseen=test), law, 5, held)
    assert 0.82 < np.mean(held.predictions) <= 1
    assert 0.82 < np.mean(held.differences) <= 1


def test_a_law_whose_errors_are_less_alike_than_they_look(tables: Path) -> None:
    # Errors of like mixtures cancelled in differences, 81 % of which were held.
    train, test = published.regmix(tables), published.regmix(tables, "test")
    chosen = np.sort(np.random.default_rng(5).permutation(len(train))[:256])
    case = Case(table="regmix", fitted=train.where(chosen.tolist()), unseen=test)
    held = Held()
    count_held(case, "loglinear", 5, held)
    assert 0.86 < np.mean(held.differences) <= 1
    assert 0.86 < np.mean(held.gains) <= 1


def test_the_next_larger_scale_of_a_published_table(tables: Path) -> None:
    # Without the law's own error 6 % of predictions and 52 % of differences.
    runs = published.slimpajama("310M", tables, parts=(3, 6, 10))
    largest = runs.scale == runs.scales[-1]
    held = Held()
    count_held(
        Case(table="", fitted=runs.where(~largest), unseen=runs.where(largest)), "joint", 1, held
    )
    assert np.mean(held.predictions) > 0.82
    assert np.mean(held.differences) > 0.82


def test_mixtures_at_the_edge_of_published_runs(tables: Path) -> None:
    # Advice rests on their gains; on average they are better than all that is fitted.
    held = Held()
    for case in edge(["redpajama 70M", "slimpajama 310M"], 0):
        truth = case.unseen.losses.mean(1)
        assert truth[: case.edge].mean() < min(truth[case.edge :].mean(), case.fitted.losses.mean())
        count_held(case, "joint", 0, held)
    assert len(held.gains) == 8
    assert np.mean(held.gains) > 0.82
    assert np.mean(held.predictions) > 0.82


def drawn(law: str, runs: Runs, count: int, seed: int = 0) -> DrawsWithError:
    aim = objective_function(Objective(), runs.validation)
    draws = law_named(law).fit(runs, aim, UNKNOWN_NOISE).draws(np.random.default_rng(seed), count)
    assert isinstance(draws, DrawsWithError)
    return draws


@pytest.mark.parametrize("law", ["joint", "bimix", "loglinear", "linear", "quadratic"])
def test_more_draws_begin_with_the_same(law: str) -> None:
    trial = swarm_trial("joint", np.random.default_rng(3))
    few, more = drawn(law, trial.runs, 6), drawn(law, trial.runs, 9)
    points = trial.runs.points.where(slice(0, 3))
    refitted = drawn_at(few.draws, points), drawn_at(more.draws, points)[:6]
    np.testing.assert_allclose(refitted[0], refitted[1], rtol=1e-6)
    np.testing.assert_allclose(few.heights, more.heights[:6])


def test_the_error_grows_with_the_distance_from_the_runs() -> None:
    rng = np.random.default_rng(1)
    trial = swarm_trial("joint", rng)
    draws = drawn("linear", trial.runs, 40)
    near = Points(tokens=trial.runs.points.shares.mean(0, keepdims=True))
    far = Points(tokens=np.array([[0.97, 0.01, 0.01, 0.01]]))
    growth = draws.error.growth
    assert growth(far)[0] > growth(near)[0]


@settings(max_examples=12)
@given(
    law=st.sampled_from(["joint", "loglinear", "quadratic", "linear", "bimix"]),
    seed=st.integers(0, 10**6),
    noise=st.sampled_from([0.0, 0.01, 1.0]),
)
def test_an_interval_holds_its_own_gain(law: str, seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    trial = swarm_trial("joint", rng, noise, runs=int(rng.integers(5, 40)))
    fitted = fit_trial(trial, law)
    predictor = Predictor(name=law, law=fitted, draws=fitted.draws(rng, 12), run=SHARES_ONLY)
    for shares, other in rng.dirichlet(np.full(4, 0.3), (5, 2)):
        gain = gain_over(predictor, shares, "other", other, optimism=abs(rng.normal()))
        assert gain.interval is not None
        assert gain.interval[0] <= gain.gain <= gain.interval[1]
