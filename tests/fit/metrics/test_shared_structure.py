"""Many tasks steady each other's predictions; few stay as the law says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.accuracy import runs_of
from mixscale.contracts.experiment import Objective
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import Points
from mixscale.fit.laws.registry import law_named
from mixscale.fit.mixing_law import MixingLaw
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE

TASKS, DIRECTIONS, DOMAINS = 50, 3, 30


def bound(runs_count: int, tasks: int, seed: int) -> tuple[MixingLaw, Points, np.ndarray]:
    rng = np.random.default_rng(seed)
    worth = rng.normal(size=(DOMAINS, DIRECTIONS)) @ rng.normal(size=(DIRECTIONS, tasks))
    shares, others = (rng.dirichlet(np.ones(DOMAINS), n) for n in (runs_count, 200))
    runs = runs_of(shares, np.zeros(runs_count))
    noisy = shares @ worth + 0.3 * rng.normal(size=(runs_count, tasks))
    runs = replace(runs, losses=10 + noisy, validation=tuple(f"t{i}" for i in range(tasks)))
    law = MixingLaw(
        runs=runs,
        law=law_named("linear"),
        objective=objective_function(Objective(), runs.validation),
        noise=UNKNOWN_NOISE,
        scores=(),
    )
    return law, Points(tokens=others), 10 + others @ worth


def test_noise_of_single_tasks_is_taken_out() -> None:
    for seed in range(5):
        law, points, truth = bound(60, TASKS, seed)
        alone = np.abs(law.fitted.predict_losses(points) - truth).mean()
        steadied = np.abs(law.predict_losses(points) - truth).mean()
        assert steadied < 0.9 * alone


def test_few_results_stay_as_the_law_says() -> None:
    law, points, _ = bound(60, 8, 0)
    np.testing.assert_array_equal(law.predict_losses(points), law.fitted.predict_losses(points))


def test_units_of_results_do_not_matter() -> None:
    law, points, _ = bound(60, TASKS, 1)
    factors = np.geomspace(0.01, 100, TASKS)
    scaled = replace(law, runs=replace(law.runs, losses=law.runs.losses * factors))
    np.testing.assert_allclose(
        scaled.predict_losses(points), law.predict_losses(points) * factors, rtol=1e-5
    )
