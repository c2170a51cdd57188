"""A run that went wrong is out of everything: noise, comparisons, each law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.recovery import swarm_trial
from mixscale.contracts.experiment import Objective
from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs
from mixscale.fit.mixing_law import choose
from mixscale.fit.uncertainty.suspect_runs import without_suspects

ODD = 7


def off(runs: Runs, by: float = 1.0) -> Runs:
    losses = runs.losses.copy()
    losses[ODD] += by
    return replace(runs, losses=losses)


@pytest.mark.parametrize("law", ["auto", "joint", "linear", "quadratic"])
def test_everything_is_as_without_the_run(law: str) -> None:
    runs = swarm_trial("joint", np.random.default_rng(0), 0.01, 32).runs
    found = choose(off(runs), law, Objective())
    without = choose(runs.where(np.arange(len(runs)) != ODD), law, Objective())
    assert found.suspects == (runs.labels[ODD],)
    assert without.suspects == ()
    assert found.name == without.name
    assert found.noise.objective == pytest.approx(without.noise.objective)
    for ours, theirs in zip(found.scores, without.scores, strict=True):
        assert ours.held_out_error == pytest.approx(theirs.held_out_error)
    np.testing.assert_allclose(
        found.fitted.predict_objective(runs.points), without.fitted.predict_objective(runs.points)
    )


def test_the_name_is_the_tables() -> None:
    runs = swarm_trial("joint", np.random.default_rng(0), 0.01, 26).runs
    named = tuple(f"run-{i}|{mixture}" for i, mixture in enumerate(runs.mixtures))
    assert without_suspects(replace(off(runs), training_runs=named)).suspects == ("run-7",)


@pytest.mark.parametrize(("changed", "left_out"), [(BASE, 1), ("other", 0), (MIXTURE, 1)])
def test_the_only_run_of_a_kind_stays(changed: str, left_out: int) -> None:
    runs = off(swarm_trial("joint", np.random.default_rng(0), 0.01, 26).runs)
    kinds = [BASE if changed == BASE else MIXTURE] * len(runs)
    kinds[ODD] = changed
    assert len(without_suspects(replace(runs, changed=tuple(kinds))).suspects) == left_out
