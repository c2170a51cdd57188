"""Truth drawn from a law is found within the stated interval at the stated rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.recovery import (
    CASES,
    advice_outcomes,
    ddo_design,
    fit_trial,
    tree_trial,
    trials,
    with_losses,
)
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE, estimate_noise

FEW = {"ddo": 20, "joint": 4, "loglinear": 6, "bimix": 2, "linear": 6, "quadratic": 3}

RUN = PlannedRun(token_budget=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_intervals_hold_the_truth_at_their_rate(name: str) -> None:
    # 100 trials: two standard errors of the rate are about 0.04.
    # The rates: docs/validation/advice.md.
    law, noise, seeds = CASES[name]
    inside = [outcome.inside.mean() for outcome in trials(law, noise, seeds, 100)]
    assert np.mean(inside) > 0.9 - 0.04


@pytest.mark.parametrize("law", FEW)
def test_the_optimum_loses_little_of_the_truths(law: str) -> None:
    outcomes = trials(law, None, 2, FEW[law])
    lost = np.sum([outcome.regret for outcome in outcomes])
    assert lost < 0.05 * np.sum([outcome.uniform_regret for outcome in outcomes])
    # Far below the rate that is claimed, as these trials are few.
    assert np.mean([outcome.inside.mean() for outcome in outcomes]) > 0.7


def test_trees_find_the_optimum_of_trees() -> None:
    pytest.importorskip("lightgbm")
    rng = np.random.default_rng(3)
    trial = tree_trial(rng, 0.005, 256)
    found = fit_trial(trial, "regmix").optimum(trial.feasible, RUN).shares
    values = trial.objective(np.stack([found, trial.optimum, np.full(4, 0.25), *trial.runs.tokens]))
    assert values[0] - values[1] < 0.1 * (np.median(values) - values[1])


def test_intervals_of_trees_come_from_resampled_runs() -> None:
    pytest.importorskip("lightgbm")
    trial = tree_trial(np.random.default_rng(4), 0.01, 64)
    law = fit_trial(trial, "regmix")
    draws = law.draws(np.random.default_rng(0), 20)
    assert draws is not None
    optima = draws.optima(trial.feasible, RUN)
    assert optima.shape == (20, 4)
    np.testing.assert_allclose(optima.sum(-1), 1)
    low, high = interval(optima)
    found = law.optimum(trial.feasible, RUN).shares
    assert ((low <= found) & (found <= high)).mean() >= 0.75
    # Under its own draw each optimum is better than under the others, on average.
    own = draws.predict_objective(Points(tokens=optima))
    crossed = draws.predict_objective(Points(tokens=np.roll(optima, 1, axis=0)))
    assert own.mean() < crossed.mean()
    assert draws.predict_objective(Points(tokens=found[None])).shape == (20,)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.015, 0.04])
def test_the_recommended_mixture_gains_more_than_the_optimum(noise: float) -> None:
    told = advice_outcomes(0.1, noise, 60)
    assert told.mean("recommended") > told.mean("change only if sure of the optimum")
    assert told.harm("recommended") < 0.05
    assert told.harm("optimum") > 0.1


def test_advice_keeps_what_cannot_be_improved() -> None:
    told = advice_outcomes(0.0, 0.01, 25)
    assert np.mean(told.changed) <= 0.1


def ask(feasible: Constraints, runs: Runs) -> Question:
    objective = objective_function(Objective(), runs.validation)
    return Question(objective=objective, constraints=feasible, budgets=(10**10,), draws=20)


@settings(max_examples=30)
@given(
    losses=st.lists(st.floats(0.5, 12), min_size=14, max_size=14),
    scale=st.sampled_from([1.0, 1e-6]),
)
def test_any_response_gives_a_mixture(losses: list[float], scale: float) -> None:
    values = 3 + (np.array(losses) - 3) * scale
    runs = with_losses(ddo_design(3, 2), values[:, None])
    question = ask(Constraints(), runs)
    noise = estimate_noise(runs, question.objective)
    solution = find_mixtures(runs, law_named("ddo"), noise, question)
    for answer in solution.answers:
        assert answer.shares.sum() == pytest.approx(1)
        assert (answer.shares >= 0.01 - 1e-9).all()


def test_a_domain_that_does_harm_stays_at_its_floor() -> None:
    runs = ddo_design(3, 1)
    x = runs.tokens / runs.tokens[0]
    losses = 3 - 0.1 * np.log(x[:, 0]) - 0.05 * np.log(x[:, 1]) + 0.04 * np.log(x[:, 2])
    runs = with_losses(runs, losses[:, None])
    question = ask(Constraints(floor=0.02), runs)
    solution = find_mixtures(runs, law_named("ddo"), UNKNOWN_NOISE, question)
    assert solution.answers[0].shares[2] == pytest.approx(0.02)
    assert solution.answers[0].binding == {"d2": "no measurable response"}
