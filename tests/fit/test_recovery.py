"""Truth drawn from a law is found within the stated interval at the stated rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.experiment import Constraints, Objective
from fit.arrays import Floats
from fit.feasible import feasible_set
from fit.laws import law_named
from fit.laws.bimix import Bivariate
from fit.laws.joint import EffectiveTokens
from fit.laws.loglinear import Exponential
from fit.laws.shares import Inputs
from fit.laws.smooth import Family, SmoothLaw
from fit.noise import UNKNOWN_NOISE, estimate_noise
from fit.objective import target
from fit.optimum import separable_optimum
from fit.runs import Runs
from fit.solution import Question
from fit.solve import solve

TOTAL = 1e9


def ddo_runs(domains: int, losses: Floats | None = None, seeds: int = 1) -> Runs:
    """A base run with every domain times 3 and divided by 3; losses are (runs, validation)."""
    changes = [(None, 1.0)] + [(i, x) for i in range(domains) for x in (3.0, 1 / 3)]
    plan = [change for change in changes for _ in range(seeds)]
    tokens = np.full((len(plan), domains), TOTAL / domains)
    for k, (i, factor) in enumerate(plan):
        if i is not None:
            tokens[k, i] *= factor
    return Runs(
        domains=tuple(f"d{i}" for i in range(domains)),
        validation=("v",),
        tokens=tokens,
        losses=np.zeros((len(plan), 1)) if losses is None else losses,
        errors=None,
        scale=np.full(len(plan), TOTAL),
        changed=tuple("" if i is None else f"d{i}" for i, _ in plan),
        labels=tuple(f"{i} {factor:.2f}" for i, factor in plan),
    )


def ddo_trial(rng: np.random.Generator, noise: float) -> tuple[Floats, Floats]:
    """True optimal shares with the bounds of their 90 % intervals."""
    a, b = np.exp(rng.normal(1.0, 0.3, 5)), np.exp(rng.normal(0.5, 0.2, 5))
    runs = ddo_runs(5, seeds=3)
    x = runs.tokens / (TOTAL / 5)
    clean = 3 + 3 * (((a + x) ** -b).sum(-1) - ((a + 1) ** -b).sum())
    runs = ddo_runs(5, (clean + noise * rng.normal(size=len(clean)))[:, None], seeds=3)
    objective = target(Objective(), runs.validation)
    feasible = feasible_set(Constraints(floor=0.01), runs.domains)
    law = law_named("ddo").fit(runs, objective, estimate_noise(runs, objective))
    draws = law.draws(rng, 200)
    assert draws is not None
    bounds = np.percentile(draws.optima(feasible, TOTAL) / TOTAL, [5, 95], axis=0)
    base = np.full(5, TOTAL / 5)
    truth = separable_optimum(a, b, base, feasible.low * TOTAL, feasible.high * TOTAL, TOTAL)
    return truth / TOTAL, bounds


@pytest.mark.parametrize("noise", [0.0005, 0.006])
def test_ddo_intervals_hold_the_truth(noise: float) -> None:
    # 60 trials of 5 shares around 0.9: two standard deviations of the rate are about 0.05, shares
    # of a trial being dependent.
    rng = np.random.default_rng(0)
    trials = [ddo_trial(rng, noise) for _ in range(60)]
    inside = [(low - 1e-9 <= truth) & (truth <= high + 1e-9) for truth, (low, high) in trials]
    assert 0.84 < np.mean(inside) < 0.98


def family_truth(name: str, rng: np.random.Generator, n: int) -> tuple[Family, Floats]:
    own = np.eye(n)
    if name == "joint":
        rows = [
            [rng.uniform(1.5, 2.5), np.log(rng.uniform(0.15, 0.4)), np.log(rng.uniform(0.6, 1)),
             *(rng.normal(0, 1, n) + 3 * own[v])]
            for v in range(n)
        ]  # fmt: skip
        return EffectiveTokens(unit=1.0), np.array(rows)
    if name == "bimix":
        sizes = rng.normal(-0.5, 0.3, n), rng.normal(1, 0.2, n)
        powers = np.full(n, np.log(0.3)), np.log(rng.uniform(0.04, 0.15, n))
        return Bivariate(unit=1.0, own=np.arange(n)), np.column_stack([*sizes, *powers])
    rows = [[rng.uniform(1.5, 2.5), *(rng.normal(0, 0.3, n) - 1.5 * own[v])] for v in range(n)]
    return Exponential(inputs=Inputs(unit=1.0, with_total=False)), np.array(rows)


def swarm_trial(name: str, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """True optimal shares, the found ones, and the bounds of their 90 % intervals."""
    n, count = 4, 32
    family, theta = family_truth(name, rng, n)
    shares = rng.dirichlet(np.ones(n), count)
    losses = family.predict(theta, shares).T
    names = tuple(f"d{i}" for i in range(n))
    runs = Runs(
        domains=names,
        validation=names,
        tokens=shares,
        losses=losses + 0.005 * rng.normal(size=losses.shape),
        errors=None,
        scale=np.ones(count),
        changed=("*",) * count,
        labels=tuple(str(i) for i in range(count)),
    )
    objective = target(Objective(), names)
    feasible = feasible_set(Constraints(floor=0.01), names)
    truth = SmoothLaw(domains=names, target=objective, family=family, theta=theta, runs=None)
    law = law_named(name).fit(runs, objective, UNKNOWN_NOISE)
    draws = law.draws(rng, 40)
    assert draws is not None
    bounds = np.percentile(draws.optima(feasible, 1.0), [5, 95], axis=0)
    return truth.optimum(feasible, 1.0).tokens, law.optimum(feasible, 1.0).tokens, bounds


@pytest.mark.slow
@pytest.mark.parametrize("name", ["joint", "loglinear", "bimix"])
def test_swarm_intervals_hold_the_truth(name: str) -> None:
    rng = np.random.default_rng(1)
    trials = [swarm_trial(name, rng) for _ in range(30)]
    inside = [(low - 1e-4 <= truth) & (truth <= high + 1e-4) for truth, _, (low, high) in trials]
    assert 0.78 < np.mean(inside) <= 1


@pytest.mark.parametrize("name", ["joint", "loglinear", "bimix"])
def test_the_optimum_is_near_the_truth(name: str) -> None:
    truth, found, _ = swarm_trial(name, np.random.default_rng(7))
    assert np.abs(truth - found).max() < 0.08


def ask(feasible: Constraints, runs: Runs) -> Question:
    objective = target(Objective(), runs.validation)
    return Question(target=objective, constraints=feasible, budgets=(10**10,), draws=20)


@settings(deadline=None, max_examples=30)
@given(
    losses=st.lists(st.floats(0.5, 12), min_size=14, max_size=14),
    scale=st.sampled_from([1.0, 1e-6]),
)
def test_any_response_gives_a_mixture(losses: list[float], scale: float) -> None:
    values = 3 + (np.array(losses) - 3) * scale
    runs = ddo_runs(3, values[:, None], seeds=2)
    question = ask(Constraints(), runs)
    noise = estimate_noise(runs, question.target)
    solution = solve(runs, law_named("ddo"), noise, question)
    for answer in solution.answers:
        assert answer.shares.sum() == pytest.approx(1)
        assert (answer.shares >= 0.01 - 1e-9).all()


def test_a_domain_that_does_harm_stays_at_its_floor() -> None:
    runs = ddo_runs(3)
    x = runs.tokens / runs.tokens[0]
    losses = 3 - 0.1 * np.log(x[:, 0]) - 0.05 * np.log(x[:, 1]) + 0.04 * np.log(x[:, 2])
    runs = ddo_runs(3, losses[:, None])
    question = ask(Constraints(floor=0.02), runs)
    solution = solve(runs, law_named("ddo"), UNKNOWN_NOISE, question)
    assert solution.answers[0].shares[2] == pytest.approx(0.02)
    assert solution.answers[0].binding == {"d2": "no measurable response"}
