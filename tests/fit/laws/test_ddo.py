"""The DDO law against the published GPT-2 Large 1.2B example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.ddo import fit_ddo
from mixscale.fit.uncertainty.noise import estimate_noise

FLOOR = 0.2 / 7
"""The notebook's smallest weight: 0.2 of a domain's base share."""


def solve_weights(runs: Runs, floor: float) -> np.ndarray:
    """Optimal weights relative to the base, summing to 7 as in the notebook."""
    objective = objective_function(Objective(metric="perplexity"), runs.validation)
    law = fit_ddo(runs, objective, estimate_noise(runs, objective))
    feasible = feasible_set(Constraints(floor=floor), runs.domains)
    return law.optimum(feasible, PlannedRun(token_budget=1.2e9)).shares * 7


def test_curves_equal_the_published_parameters(
    autoscale_runs: Callable, tables: Path, rows: Callable
) -> None:
    # Three points fix three parameters: only the notebook's optimiser tolerance (1e-8) remains.
    runs = autoscale_runs(1 / 5)
    objective = objective_function(Objective(metric="perplexity"), runs.validation)
    curves = fit_ddo(runs, objective, estimate_noise(runs, objective)).curves
    published = rows(tables / "autoscale_ddo_solution.csv")
    for name, values in (("a", curves.a[0]), ("b", curves.b[0]), ("c", curves.c[0])):
        expected = [float(row[name]) for row in published]
        np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_six_domains_need_no_manual_step(
    autoscale_runs: Callable, tables: Path, rows: Callable
) -> None:
    # The notebook drops github by hand, then sums the rest to 6.8; here the floor does both.
    weights = solve_weights(autoscale_runs(1 / 5), FLOOR)
    published = rows(tables / "autoscale_ddo_solution.csv")
    expected = [float(row["w_six_domains_10000steps"] or 0.2) for row in published]
    np.testing.assert_allclose(weights, expected, atol=1e-3)
    assert weights.sum() == pytest.approx(7, abs=1e-9)


def test_all_seven_match_the_typed_vector_within_its_own_discrepancy(
    autoscale_runs: Callable, tables: Path, rows: Callable
) -> None:
    # The vector typed into the notebook differs from the one printed above it by up to 0.0023.
    weights = solve_weights(autoscale_runs(1 / 5), FLOOR)
    published = rows(tables / "autoscale_ddo_solution.csv")
    expected = [float(row["w_final_with_github"]) for row in published]
    np.testing.assert_allclose(weights, expected, atol=0.0025)


def test_the_true_reduction_moves_the_answer_by_a_fifth(autoscale_runs: Callable) -> None:
    moved = solve_weights(autoscale_runs(1 / 3), FLOOR) - solve_weights(
        autoscale_runs(1 / 5), FLOOR
    )
    assert np.abs(moved).max() == pytest.approx(0.22, abs=0.005)


def test_github_is_held_by_the_floor(autoscale_runs: Callable) -> None:
    weights = solve_weights(autoscale_runs(1 / 5), FLOOR)
    feasible = feasible_set(Constraints(floor=FLOOR), autoscale_runs(1 / 5).domains)
    assert feasible.binding(weights / 7) == {"github": "floor"}


def test_no_base_run_is_a_clear_error(autoscale_runs: Callable) -> None:
    runs = autoscale_runs(1 / 3)
    changed = runs.where([i for i, name in enumerate(runs.changed) if name])
    with pytest.raises(UserError, match="no base run"):
        solve_weights(changed, FLOOR)


def test_a_domain_without_changes_is_named(autoscale_runs: Callable) -> None:
    runs = autoscale_runs(1 / 3)
    kept = runs.where([i for i, name in enumerate(runs.changed) if name != "wiki"])
    with pytest.raises(UserError, match="domain wiki has no run"):
        solve_weights(kept, FLOOR)


def test_one_missing_change_still_gives_a_curve(autoscale_runs: Callable) -> None:
    runs = autoscale_runs(1 / 3)
    kept = runs.where([i for i, label in enumerate(runs.labels) if label != "wiki_reduced"])
    weights = solve_weights(kept, FLOOR)
    assert weights.sum() == pytest.approx(7)
    # The prior on curve shapes fills in: not the measured answer, but near it.
    assert abs(weights - solve_weights(runs, FLOOR)).max() < 0.4
