"""A run that went wrong moves nothing, and is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import published
from benchmarks.recovery import SHARES_ONLY, swarm_runs, swarm_trial
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.laws.shared.smooth import SmoothLaw
from mixscale.fit.laws.shared.suspects import find_suspects
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


@pytest.mark.parametrize("row", [84, 131])
def test_the_only_run_of_a_domain(tables: Path, row: int) -> None:
    # Of 4 % and 7 % of a domain that no other run has; the fit makes that domain 1 nat worse.
    runs = published.olmix_full(tables)
    assert moved("joint", runs, row) == (pytest.approx(0, abs=0.03), (runs.labels[row],))


@settings(max_examples=20)
@given(share=st.floats(0.02, 0.98), effect=st.floats(-1.5, 1.5), seed=st.integers(0, 10**6))
def test_the_only_run_of_an_extreme_domain_stays(share: float, effect: float, seed: int) -> None:
    """It may do half as much again as any other domain."""
    rng = np.random.default_rng(seed)
    shares = np.pad(rng.dirichlet(np.ones(4), 24), ((0, 0), (0, 1)))
    shares[7, :4] *= 1 - share
    shares[7, 4] = share
    slopes = np.append(rng.normal(size=4), 0.0)
    slopes[4] = slopes[:4].mean() + effect * np.abs(slopes[:4] - slopes[:4].mean()).max()
    losses = 3 + shares @ slopes + 0.01 * rng.normal(size=24)
    points = Points(tokens=shares)
    family = law_named("joint").residuals
    assert family is not None
    names = ("a", "b", "c", "d", "e")
    runs = swarm_runs(names, shares, np.tile(losses[:, None], 5))
    assert not find_suspects(family(runs), points, losses[:, None])[7]


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
