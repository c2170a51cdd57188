"""A run that went wrong moves nothing, and is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import published
from benchmarks.recovery import SHARES_ONLY, swarm_trial
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.laws.shared.smooth import SmoothLaw
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE


def fit(runs: Runs, law: str = "joint") -> SmoothLaw:
    aim = objective_function(Objective(), runs.validation)
    fitted = law_named(law).fit(runs, aim, UNKNOWN_NOISE)
    assert isinstance(fitted, SmoothLaw)
    return fitted


def moved(law: str, runs: Runs, run: int) -> tuple[float, tuple[str, ...]]:
    """How many of the tokens another optimum gives to other domains when a run is 1 nat off."""
    budget = float(runs.scale[0])
    planned = SHARES_ONLY if budget == 1 else PlannedRun(token_budget=budget)
    feasible = feasible_set(Constraints(floor=0.01), runs.domains)
    losses = runs.losses.copy()
    losses[run] += 1.0
    shifted = fit(replace(runs, losses=losses), law)
    before = fit(runs, law).optimum(feasible, planned).shares
    after = shifted.optimum(feasible, planned).shares
    return 0.5 * float(np.abs(after - before).sum()), shifted.suspects


@pytest.mark.parametrize("law", ["joint", "loglinear"])
@pytest.mark.parametrize("run", [0, 9, 18])
def test_one_of_26_simulated_runs(law: str, run: int) -> None:
    runs = swarm_trial("joint", np.random.default_rng(0), 0.01, 26).runs
    distance, suspects = moved(law, runs, run)
    assert distance < 0.03
    assert suspects == (runs.labels[run],)


@pytest.mark.parametrize("run", [4, 5, 20])
def test_one_of_42_published_runs(tables: Path, run: int) -> None:
    # Runs 207 and 206 lie at the edge of the design: a fit of all runs bends towards them.
    runs = published.redpajama("70M", tables)
    distance, suspects = moved("joint", runs, run)
    assert distance < 0.03
    assert suspects == (runs.labels[run],)


def test_published_runs_are_not_suspected(tables: Path) -> None:
    for runs in (
        published.redpajama("160M", tables),
        published.slimpajama("122M", tables),
        published.olmix_dclm(tables),
    ):
        assert fit(runs).suspects == ()


def test_as_many_parameters_as_runs_leave_nobody_to_tell() -> None:
    runs = swarm_trial("joint", np.random.default_rng(0), 0.01, 8).runs
    losses = runs.losses.copy()
    losses[3] += 1.0
    assert fit(replace(runs, losses=losses)).suspects == ()


def shifted(runs: Runs, rows: list[int], by: float = 1.0) -> Runs:
    losses = runs.losses.copy()
    losses[rows] += by
    return replace(runs, losses=losses)


@pytest.mark.parametrize("row", [68, 89, 229])
def test_a_law_that_bends_itself_to_one_run(tables: Path, row: int) -> None:
    # 64 domains and one result: the fit of all runs goes through the run that is off.
    runs = published.olmix_full(tables)
    assert moved("joint", runs, row) == (pytest.approx(0, abs=0.03), (runs.labels[row],))


def test_several_runs_at_once(tables: Path) -> None:
    runs = published.redpajama("70M", tables)
    suspects = fit(shifted(runs, [3, 17, 30])).suspects
    assert suspects == tuple(runs.labels[row] for row in (3, 17, 30))
    assert fit(shifted(runs, [3, 17, 30], -0.5)).suspects == suspects
