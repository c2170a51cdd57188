"""Losses in another unit give the same mixture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.recovery import SHARES_ONLY, ddo_trial, swarm_trial
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE

FACTORS = [0.01, 1 / np.log(2), 1000.0]
WITH_FLOOR = ["joint", "loglinear", "linear", "quadratic"]


def answers(law: str, runs: Runs) -> tuple[Floats, Floats, Floats]:
    """Optimal shares, predicted losses of the runs, deviation of the drawn objective."""
    aim = objective_function(Objective(), runs.validation)
    fitted = law_named(law).fit(runs, aim, UNKNOWN_NOISE)
    budget = float(runs.scale[0])
    run = SHARES_ONLY if budget == 1 else PlannedRun(token_budget=budget)
    feasible = feasible_set(Constraints(floor=0.01), runs.domains)
    draws = fitted.draws(np.random.default_rng(0), 10)
    spread = np.zeros(1)
    if draws is not None:
        spread = np.std(draws.predict_objective(runs.points.where([0])), keepdims=True)
    return fitted.optimum(feasible, run).shares, fitted.predict_losses(runs.points), spread


@settings(max_examples=12)
@given(
    law=st.sampled_from([*WITH_FLOOR, "bimix"]),
    factor=st.sampled_from(FACTORS),
    seed=st.integers(0, 10**6),
)
def test_losses_in_another_unit(law: str, factor: float, seed: int) -> None:
    runs = swarm_trial("joint", np.random.default_rng(seed)).runs
    shares, losses, spread = answers(law, runs)
    scaled = answers(law, replace(runs, losses=runs.losses * factor))
    np.testing.assert_allclose(scaled[0], shares, atol=2e-4)
    np.testing.assert_allclose(scaled[1] / factor, losses, atol=1e-5)
    np.testing.assert_allclose(scaled[2] / factor, spread, rtol=1e-2)


@settings(max_examples=8)
@given(law=st.sampled_from(WITH_FLOOR), shift=st.sampled_from([-1.0, 5.0]), seed=st.integers(0, 99))
def test_losses_above_another_floor(law: str, shift: float, seed: int) -> None:
    runs = swarm_trial("joint", np.random.default_rng(seed)).runs
    shares, losses, _ = answers(law, runs)
    shifted = answers(law, replace(runs, losses=runs.losses + shift))
    np.testing.assert_allclose(shifted[0], shares, atol=2e-4)
    np.testing.assert_allclose(shifted[1] - shift, losses, atol=1e-5)


@pytest.mark.parametrize("factor", FACTORS)
def test_curves_around_a_base_run(factor: float) -> None:
    runs = ddo_trial(np.random.default_rng(1), 0.001).runs
    shares, losses, _ = answers("ddo", runs)
    scaled = answers("ddo", replace(runs, losses=runs.losses * factor))
    np.testing.assert_allclose(scaled[0], shares, atol=1e-6)
    np.testing.assert_allclose(scaled[1] / factor, losses, rtol=1e-8)


def test_trees() -> None:
    pytest.importorskip("lightgbm")
    runs = swarm_trial("joint", np.random.default_rng(2), runs=64).runs
    aim = objective_function(Objective(), runs.validation)
    plain = law_named("regmix").fit(runs, aim, UNKNOWN_NOISE).predict_losses(runs.points)
    hundredth = replace(runs, losses=runs.losses * 0.01)
    scaled = law_named("regmix").fit(hundredth, aim, UNKNOWN_NOISE).predict_losses(runs.points)
    np.testing.assert_allclose(scaled * 100, plain, atol=1e-3)
