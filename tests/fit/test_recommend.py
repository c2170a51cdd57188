"""What is recommended, and how far a projection is followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mixscale as ms
from benchmarks.recovery import ddo_design, with_losses
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints, GroupBound, Objective
from mixscale.contracts.fit_record import read_fit
from mixscale.fit.apply.exact_decimals import exact_shares
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.fit_experiment import fit_experiment
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.laws.registry import law_named, reference_law
from mixscale.fit.output.record import recommend
from mixscale.fit.recommend import advise, average_at, step
from mixscale.fit.scaling.projection import MeasuredOptima, project_shares
from mixscale.fit.scaling.stored_fit import allowed, mixture_at
from mixscale.fit.uncertainty.gain import Predictor
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE, Noise
from mixscale.fit.uncertainty.residuals import comparison_noise

DOMAINS = ("web", "code", "books")


def levelling(tokens: Floats) -> Floats:
    """Losses whose best mixture settles: an offset makes code matter less at small budgets."""
    own = np.array([1.5, 1.5, 1.2]) * (tokens / 1e6 + np.array([0.05, 0.3, 0.05])) ** -0.25
    return 2.0 + own


@pytest.fixture
def folder(tmp_path: Path, write_ddo_sweep: Callable) -> Path:
    return fit_experiment(write_ddo_sweep(tmp_path, levelling), law="ddo", bootstrap=100)


def best_of(budget: float) -> Floats:
    grid = np.array(
        [[a, b, 1 - a - b] for a in np.linspace(0.05, 0.9, 86) for b in np.linspace(0.01, 0.5, 50)
         if a + b < 0.98]
    )  # fmt: skip
    return grid[np.argmin([levelling(row * budget).mean() for row in grid])]


def test_every_budget_has_an_objective_with_gains(folder: Path) -> None:
    record = read_fit(folder)
    assert [m.predicted_by for m in record.mixtures] == ["ddo", "ddo", "joint", "joint"]
    for mixture in record.mixtures:
        assert mixture.objective_interval is not None
        assert mixture.predicted_objective is not None
        low, high = mixture.objective_interval
        assert low <= mixture.predicted_objective <= high
        assert [gain.over for gain in mixture.gains] == ["current", "uniform", "natural"]
    assert record.gains == record.mixtures[1].gains
    assert any("predicts for the mixture" in warning for warning in record.warnings)


def test_a_projection_does_not_run_past_where_optima_level_off(folder: Path) -> None:
    record = read_fit(folder)
    truth = best_of(256e6)
    reach, feasible = record.reach, allowed(record, 256_000_000)
    measured = MeasuredOptima(
        totals=np.array(reach.totals),
        shares=np.array(reach.shares),
        interior=np.array(reach.free),
        slope_error=np.array(reach.slope_error),
        scale_error=np.array(reach.scale_error),
    )
    line = project_shares(measured, measured.shares, 256e6, feasible)
    found = np.array([record.mixtures[-1].proportions[name] for name in DOMAINS])
    assert np.abs(line - truth).max() > 0.15
    assert np.abs(found - truth).max() < 0.06
    assert any("does not support the whole" in warning for warning in record.warnings)


def test_any_budget_lies_between_those_that_were_asked_for(folder: Path) -> None:
    record = read_fit(folder)
    budgets = (16_000_000, 40_000_000, 256_000_000)
    shares = [mixture_at(record, budget) for budget in budgets]
    # A budget next to one that the fit was asked for is answered anew, and hardly differently.
    beside = mixture_at(record, 16_000_001)
    assert beside.proportions == pytest.approx(record.mixtures[2].proportions, abs=1e-4)
    assert beside.recommended == pytest.approx(record.mixtures[2].recommended, abs=1e-4)
    for name in DOMAINS:
        ends = sorted((shares[0].proportions[name], shares[2].proportions[name]))
        assert ends[0] - 0.01 <= shares[1].proportions[name] <= ends[1] + 0.01
        assert shares[1].recommended is not None
    assert shares[1].predicted_by == "joint"
    objectives = [m.predicted_objective or 0 for m in shares]
    assert objectives == sorted(objectives, reverse=True)


def test_keeping_means_the_mixture_that_is_there() -> None:
    feasible = feasible_set(Constraints(floor=0.1), DOMAINS)
    current, average = np.array([0.7, 0.25, 0.05]), np.array([0.2, 0.3, 0.5])
    kept = step(0.0, average, current, feasible)
    # Only what the constraints ask for has changed.
    assert kept[2] == pytest.approx(0.1)
    assert kept[0] / kept[1] == pytest.approx(0.7 / 0.25)
    half = step(0.5, average, kept, feasible)
    np.testing.assert_allclose(half, (kept + average) / 2, atol=1e-9)


def test_a_gain_that_a_second_law_does_not_see_is_not_acted_on() -> None:
    slopes = np.array([0.2, 0.1, 0.05])
    design = ddo_design(3, 2)
    effect = np.log(design.tokens / design.tokens[0])
    noise = 0.003 * np.random.default_rng(0).normal(size=len(design))
    runs = with_losses(design, (4 - effect @ slopes + noise)[:, None])
    other = with_losses(design, (4 - effect @ slopes[::-1] + noise)[:, None])
    aim = objective_function(Objective(), ("v",))
    question = Question(objective=aim, constraints=Constraints(), budgets=(), draws=100)
    solution = find_mixtures(
        runs, law_named("ddo"), comparison_noise(runs, aim, reference_law()), question
    )
    assert solution.advice.change
    assert solution.advice.second_law == "joint"

    last = solution.scales[-1]
    assert last.draw_shares is not None
    opposed = law_named("joint").fit(other, aim, UNKNOWN_NOISE)
    second = Predictor(name="joint", law=opposed, draws=None, run=last.run)
    doubted = advise(
        last.predictor, last.shares, last.draw_shares, solution.current, last.feasible, second
    )
    assert doubted.interval is not None
    assert doubted.interval[0] > 0
    assert not doubted.change
    advised = replace(solution.measured, advice=doubted)
    said = recommend(replace(solution, answers=(*solution.answers[:-1], advised)))
    assert said.action == "keep what you have"
    assert "but law joint, fitted to the same runs, predicts a loss of" in said.reason
    assert said.second_gain is not None
    assert said.second_gain < 0


def test_where_no_domain_answers_the_mixture_stays() -> None:
    design = ddo_design(3, 1)
    losses = 3 + np.log(design.tokens / design.tokens[0]) @ np.array([0.01, 0.02, 0.03])
    runs = with_losses(design, losses[:, None])
    current = np.array([0.5, 0.3, 0.2])
    question = Question(
        objective=objective_function(Objective(), ("v",)),
        constraints=Constraints(),
        budgets=(),
        current=current,
    )
    solution = find_mixtures(runs, law_named("ddo"), UNKNOWN_NOISE, question)
    assert solution.scales[-1].law.no_response() == runs.domains
    assert recommend(solution).action == "keep what you have"
    np.testing.assert_allclose(solution.answers[-1].recommended, current)


def test_means_between_known_budgets_are_interpolated() -> None:
    optima = np.array([[0.5, 0.5], [0.6, 0.4]])
    averages = np.array([[0.5, 0.5], [0.5, 0.5]])
    found = average_at(1e7, np.array([0.55, 0.45]), [1e6, 1e8], optima, averages)
    np.testing.assert_allclose(found, [0.5, 0.5])


def test_ddo_keeps_groups_and_divergence(autoscale_runs: Callable) -> None:
    runs = autoscale_runs(1 / 3)
    aim = objective_function(Objective(metric="perplexity"), runs.validation)
    law = law_named("ddo").fit(
        runs, aim, Noise(losses=np.full(7, 0.002), objective=0.05, source="seeds", degrees=8)
    )
    prose = GroupBound(domains=("common_crawl", "c4"), ceiling=0.35)
    asked = Constraints(groups={"web": prose}, max_kl=0.15, floor=0.02)
    feasible, run = feasible_set(asked, runs.domains), PlannedRun(token_budget=1.2e9)
    shares = law.optimum(feasible, run).shares
    assert shares[0] + shares[4] <= 0.35 + 1e-6
    assert feasible.divergence(shares) <= 0.15 + 1e-6
    draws = law.draws(np.random.default_rng(0), 5)
    assert draws is not None
    drawn = draws.optima(feasible, run)
    assert (drawn[:, [0, 4]].sum(1) <= 0.35 + 1e-6).all()
    free = law.optimum(feasible_set(Constraints(floor=0.02), runs.domains), run)
    # No allowed mixture nearby is better.
    rng = np.random.default_rng(1)
    values = law.predict_objective(run.with_shares(np.stack([shares, free.shares])))
    assert values[1] < values[0]
    for _ in range(200):
        other = np.clip(shares + 0.01 * rng.normal(size=7), 0.02, 1)
        other /= other.sum()
        if other[[0, 4]].sum() <= 0.35 and feasible.divergence(other) <= 0.15:
            assert law.predict_objective(run.with_shares(other[None]))[0] >= values[0] - 1e-7


@pytest.mark.parametrize("count", [1, 3, 10, 49, 100, 300, 1000])
def test_equal_shares_of_any_number_of_domains_sum_to_one(count: int) -> None:
    texts = exact_shares({f"d{i}": 1 / count for i in range(count)})
    assert sum(float(text) for text in texts.values()) == 1.0
    assert max(abs(float(text) - 1 / count) for text in texts.values()) < 1e-5


def test_perplexities_named_as_losses_are_refused() -> None:
    shares = {"a": [0.2, 0.5, 0.7, 0.4], "b": [0.8, 0.5, 0.3, 0.6]}
    with pytest.raises(UserError, match="name its columns ppl_DOMAIN"):
        ms.fit_tables(
            shares,
            {"loss_v": [80.0, 70.0, 60.0, 75.0]},
            law="linear",
            objective="perplexity",
        )


def test_auto_takes_a_law_that_extrapolates_where_lines_do_not(
    tmp_path: Path, write_ddo_sweep: Callable
) -> None:
    record = read_fit(fit_experiment(write_ddo_sweep(tmp_path, levelling), bootstrap=0))
    assert record.reach.law == record.law
    assert law_named(record.law).spans_scales
    scores = {s.law: s for s in record.laws if s.held_out is not None}
    taken, ddo = scores[record.law], scores["ddo"]
    assert (taken.next_scale or 0) < (ddo.next_scale or 0)
    found = np.array([record.mixtures[-1].proportions[name] for name in DOMAINS])
    assert np.abs(found - best_of(256e6)).max() < 0.08
