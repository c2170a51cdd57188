"""Laws that see model size and repeated text: truths drawn by hand, and published tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.fit_tables import read_runs
from mixscale.fit.inputs.long_table import widened
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.options import TableSettings
from mixscale.fit.inputs.points import PLENTY, PlannedRun, Points
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.inputs.table_files import read_table
from mixscale.fit.laws.base import FittedLaw
from mixscale.fit.laws.joint import EffectiveTokens
from mixscale.fit.laws.registry import law_named
from mixscale.fit.laws.separable import Separable
from mixscale.fit.laws.shared.model_size import ModelSize
from mixscale.fit.laws.shared.repetition import effective
from mixscale.fit.laws.shared.terms import SumOfTerms
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE

DOMAINS = ("books", "code", "web")
WORTHS = np.array([0.5, 1.0, 2.0])
LAWS = ("joint", "separable")


def worth(tokens: Floats, unique: Floats, r: float) -> Floats:
    """The formula of Muennighoff et al., written once more."""
    epochs = np.maximum(tokens / unique, 1.0)
    return np.minimum(tokens, unique) * (1 + r * (1 - np.exp(-(epochs - 1) / r)))


def truth(points: Points, r: float = 8.0) -> Floats:
    """(points, 1) losses of a law by hand."""
    assert points.parameters is not None
    unique = points.unique_tokens
    tokens = points.tokens if unique is None else worth(points.tokens, unique, r)
    mass = ((tokens / 1e9) ** 0.7) @ WORTHS
    return (1.6 + 0.4 * (points.parameters / 1e8) ** -0.33 + 0.9 * mass**-0.4)[:, None]


def swarm(sizes: list[float], unique: list[float] | None, noise: float, seed: int = 0) -> Runs:
    """Runs of 30 mixtures, each at every size, of one to ten billion tokens."""
    rng = np.random.default_rng(seed)
    count = 30 * len(sizes)
    shares = np.tile(rng.dirichlet(np.ones(3), 30), (len(sizes), 1))
    totals = np.tile(np.repeat([1e9, 3e9, 1e10], 10), len(sizes))
    points = Points(
        tokens=shares * totals[:, None],
        unique_tokens=None if unique is None else np.tile(unique, (count, 1)),
        parameters=np.repeat(sizes, 30),
    )
    return Runs(
        domains=DOMAINS,
        validation=("all",),
        tokens=points.tokens,
        losses=truth(points) + noise * rng.normal(size=(count, 1)),
        errors=None,
        scale=totals,
        changed=(MIXTURE,) * count,
        labels=tuple(map(str, range(count))),
        unique_tokens=points.unique_tokens,
        parameters=points.parameters,
    )


def fitted(law: str, runs: Runs) -> FittedLaw:
    objective = objective_function(Objective(), runs.validation)
    return law_named(law).fit(runs, objective, UNKNOWN_NOISE)


@pytest.mark.parametrize("law", LAWS)
def test_a_larger_model_is_predicted_from_three_sizes(law: str) -> None:
    # Sizes without repeats, the next one four times as large.
    found = fitted(law, swarm([2e7, 8e7, 3.2e8], None, 0.002))
    next_size = swarm([1.28e9], None, 0.0)
    missed = found.predict_losses(next_size.points) - next_size.losses
    assert np.abs(missed).mean() < 0.02
    ranks = spearmanr(found.predict_losses(next_size.points)[:, 0], next_size.losses[:, 0])
    assert np.asarray(ranks)[0] > 0.99


@pytest.mark.parametrize("law", LAWS)
def test_with_one_size_and_no_repeats_the_law_is_what_it_was(law: str) -> None:
    runs = swarm([8e7], None, 0.002)
    blind = replace(runs, parameters=None)
    plenty = replace(runs, unique_tokens=np.full(runs.tokens.shape, PLENTY))
    want = fitted(law, blind).predict_losses(blind.points)
    for known in (runs, plenty):
        np.testing.assert_allclose(fitted(law, known).predict_losses(known.points), want, atol=3e-4)


def test_repeats_are_measured() -> None:
    # Code has 100M tokens, which these runs read up to a hundred times.
    runs = swarm([8e7], [PLENTY, 1e8, PLENTY], 0.001)
    joint = fitted("joint", runs)
    (parameters,) = joint.parameters().values()
    assert 4 < parameters["R"] < 16  # the truth has 8, the prior 15.4
    blind = fitted("joint", replace(runs, unique_tokens=None))
    seen, unseen = (
        np.abs(law.predict_losses(runs.points) - truth(runs.points)).mean()
        for law in (joint, blind)
    )
    assert seen < 0.3 * unseen


@pytest.mark.parametrize("law", LAWS)
def test_the_optimum_weighs_repeats_by_itself(law: str) -> None:
    runs = swarm([8e7], [PLENTY, 1e8, PLENTY], 0.001)
    found = fitted(law, runs)
    feasible = feasible_set(Constraints(floor=0.0), DOMAINS)
    unique = np.array([PLENTY, 1e8, PLENTY])
    shares = [
        found.optimum(
            feasible, PlannedRun(token_budget=budget, unique_tokens=unique, parameters=8e7)
        ).shares[1]
        for budget in (1e9, 1e10, 1e11)
    ]
    plenty = found.optimum(feasible, PlannedRun(token_budget=1e11, parameters=8e7)).shares[1]
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.5 * plenty


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), with_repeats=st.booleans())
def test_convex_in_the_shares(seed: int, with_repeats: bool) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(3), 2)
    between = np.linspace(0, 1, 9)[:, None] * (shares[1] - shares[0]) + shares[0]
    run = PlannedRun(
        token_budget=10 ** rng.uniform(6, 12),
        unique_tokens=10 ** rng.uniform(6, 11, 3) if with_repeats else None,
        parameters=1e9,
    )
    families = [SumOfTerms(term=EffectiveTokens(), unit=1e9, size=None, repeats=with_repeats)]
    if not with_repeats:
        families.append(SumOfTerms(term=Separable(), unit=1e9))
    for family in families:
        assert family.convex
        count = family.before_term + (5 if family is families[0] else 7)
        theta = rng.uniform(-1.5, 0.0, (1, count))
        values = family.predict(theta, run.with_shares(between))[0]
        assert (np.diff(values, 2) > -1e-9 * np.abs(values).max()).all()


@settings(max_examples=60)
@given(unique=st.floats(1e3, 1e12), tokens=st.floats(1e3, 1e13), r=st.floats(0.5, 60.0))
def test_what_repeated_tokens_are_worth(unique: float, tokens: float, r: float) -> None:
    found, _, slope = effective(np.array([[tokens]]), np.array([[unique]]), np.array([np.log(r)]))
    assert found[0, 0, 0] == pytest.approx(float(worth(np.array(tokens), np.array(unique), r)))
    assert found[0, 0, 0] <= min(tokens, unique * (1 + r)) * (1 + 1e-12)
    assert 0 <= slope[0, 0, 0] <= 1


def test_the_prior_of_size_is_a_part_of_the_loss() -> None:
    # Besiroglu et al.: at 1B parameters and 20B tokens 482 / (1e9)^0.3478 of a loss of 2.5.
    size = ModelSize.of(replace(swarm([1e9], None, 0.0), tokens=np.full((30, 3), 2e10 / 3)))
    assert size is not None
    assert size.share == pytest.approx(0.3572 / (1.8172 + 0.3572 + 0.3536), abs=2e-3)


def test_slimpajama_from_smaller_models(tables: Path) -> None:
    # docs/validation/laws.md: 0.55 and 0.60 % of the loss, ranks 0.980 and 0.987
    # (benchmarks/reach.py).
    table = widened(read_table(tables / "slimpajama_sizes_train.csv"), "table")
    runs, _ = read_runs(table, table, TableSettings(), ("table", "table"))
    assert runs.parameters is not None
    small, ends = runs.where(runs.parameters < 5e8), runs.where(runs.parameters > 5e8)
    ends = ends.where(ends.scale == ends.scale.max())
    assert len(ends) == 40
    for law in LAWS:
        predicted = fitted(law, small).predict_losses(ends.points)
        assert (np.abs(predicted - ends.losses) / ends.losses).mean() < 0.0065
        ranks = spearmanr(predicted[:, :7].mean(1), ends.losses[:, :7].mean(1))
        assert np.asarray(ranks)[0] > 0.96
