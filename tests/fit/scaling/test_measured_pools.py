"""Runs that repeat their pools as the target repeats its text: repeats count once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixscale.contracts.experiment import Constraints
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.inputs.points import PLENTY, PlannedRun, Points
from mixscale.fit.scaling.largest_scale import Discrepancy, MovedLaw
from mixscale.fit.scaling.optimum_path import OptimumPath
from mixscale.fit.scaling.projection import MeasuredOptima
from mixscale.fit.uncertainty.gain import Predictor
from tests.fit.laws.test_terms import DOMAINS, fitted, swarm, truth

TOTALS, TARGET = np.array([1e9, 1e10]), 1e11
PART = 0.02
"""Unique tokens of code, by the tokens of the run."""


def pools(total: float) -> np.ndarray:
    return np.array([PLENTY, PART * total, PLENTY])


def best_shares(total: float) -> np.ndarray:
    """Search all mixtures for the best under the truth; a step is 0.25 % of the tokens."""
    code, web = np.meshgrid(np.linspace(0.0025, 0.9, 360), np.linspace(0.0025, 0.9, 360))
    code, web = code[code + web < 1], web[code + web < 1]
    shares = np.column_stack([1 - code - web, code, web])
    many = np.full(len(shares), 8e7)
    points = Points(
        tokens=shares * total,
        unique_tokens=np.tile(pools(total), (len(shares), 1)),
        parameters=many,
    )
    return shares[np.argmin(truth(points)[:, 0])]


def test_repeats_that_were_measured_do_not_count_again() -> None:
    law = fitted("joint", swarm([8e7], [PLENTY, 1e8, PLENTY], 0.001))
    feasible = feasible_set(Constraints(floor=0.0), DOMAINS)
    target = PlannedRun(token_budget=TARGET, unique_tokens=pools(TARGET), parameters=8e7)
    measured = MeasuredOptima(
        totals=TOTALS,
        shares=np.stack([best_shares(total) for total in TOTALS]),
        interior=np.ones((2, 3), dtype=bool),
        unique_tokens=np.stack([pools(total) for total in TOTALS]),
    )
    path = OptimumPath(
        measured=measured, predictor=Predictor(name="joint", law=law, draws=None, run=target)
    )
    best = best_shares(TARGET)
    found = path.at(target, feasible)
    np.testing.assert_allclose(found.shares, best, atol=0.02)
    assert found.moved is not None
    assert found.moved.by_repeats < 0.01
    # As if the measured runs had had all of the text, code would lose a part a second time.
    twice = replace(path, measured=replace(measured, unique_tokens=None)).at(target, feasible)
    assert twice.shares[1] < best[1] - 0.02


def test_a_trend_is_followed_no_further_than_is_best_for_the_run_itself() -> None:
    runs = swarm([8e7], [PLENTY, 1e8, PLENTY], 0.001)
    # The largest runs say that code, which repeats, is worth less than all runs together do.
    worse = replace(runs, losses=runs.losses + 0.3 * runs.shares[:, 1:2])
    largest = PlannedRun(token_budget=TOTALS[1], unique_tokens=pools(TOTALS[1]), parameters=8e7)
    law = MovedLaw(
        whole=fitted("joint", runs),
        beside=Discrepancy(law=fitted("joint", worse), run=largest, part=1.0),
    )
    feasible = feasible_set(Constraints(floor=0.0), DOMAINS)
    target = PlannedRun(token_budget=TARGET, unique_tokens=pools(TARGET), parameters=8e7)
    predictor = Predictor(name="joint", law=law, draws=None, run=target)
    best = best_shares(TARGET)
    moving = np.stack([[1 - code - best[2], code, best[2]] for code in (0.3 * best[1], best[1])])

    def path(scales: slice) -> OptimumPath:
        return OptimumPath(
            measured=MeasuredOptima(
                totals=TOTALS[scales],
                shares=moving[scales],
                interior=np.ones((2, 3), dtype=bool)[scales],
                unique_tokens=np.stack([pools(total) for total in TOTALS[scales]]),
            ),
            predictor=predictor,
        )

    followed, held = (path(scales).at(target, feasible) for scales in (slice(2), slice(1, 2)))
    predicted = predictor.predict(np.stack([followed.shares, held.shares]))
    assert predicted[0] <= predicted[1] + 1e-9
