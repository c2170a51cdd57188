"""How often the intervals of a fit hold a truth drawn from the law itself.

python -m benchmarks.recovery [--laws joint,ddo] [--trials 100]
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs
from mixscale.fit.laws.base import FittedLaw
from mixscale.fit.laws.bimix import Bivariate
from mixscale.fit.laws.joint import EffectiveTokens
from mixscale.fit.laws.linear import Linear
from mixscale.fit.laws.loglinear import Exponential
from mixscale.fit.laws.quadratic import Quadratic
from mixscale.fit.laws.registry import law_named, reference_law
from mixscale.fit.laws.shared.shares import Inputs
from mixscale.fit.laws.shared.smooth import Family, SmoothLaw
from mixscale.fit.laws.shared.terms import SumOfTerms
from mixscale.fit.optimize.separable import separable_optimum
from mixscale.fit.recommend import advise, step
from mixscale.fit.uncertainty.gain import Predictor
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.noise import Noise, estimate_noise
from mixscale.fit.uncertainty.residuals import comparison_noise

Truth = Callable[[Floats], Floats]

TOTAL = 1e9
SHARES_ONLY = PlannedRun(token_budget=1.0)
DDO_DOMAINS = 5
SWARM_DOMAINS, SWARM_RUNS, TREE_RUNS = 4, 32, 128


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A truth with the noisy runs that it gave."""

    runs: Runs
    feasible: Feasible
    optimum: Floats
    """(domains,) true optimal shares."""
    objective: Callable[[Floats], Floats]
    """(points,) true objective of (points, domains) shares."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a fit made of a trial."""

    truth: Floats
    found: Floats
    low: Floats
    high: Floats
    regret: float
    """Objective of the found mixture above the least possible."""
    uniform_regret: float
    """The same of the uniform mixture."""

    @property
    def inside(self) -> Bools:
        """(domains,) whether the interval holds the true share."""
        return (self.low - 1e-4 <= self.truth) & (self.truth <= self.high + 1e-4)


def ddo_design(domains: int, seeds: int, total: float = TOTAL) -> Runs:
    """A base run with every domain times 3 and divided by 3; losses are still zero."""
    changes = [(None, 1.0)] + [(i, x) for i in range(domains) for x in (3.0, 1 / 3)]
    plan = [change for change in changes for _ in range(seeds)]
    tokens = np.full((len(plan), domains), total / domains)
    for k, (i, factor) in enumerate(plan):
        if i is not None:
            tokens[k, i] *= factor
    return Runs(
        domains=tuple(f"d{i}" for i in range(domains)),
        validation=("v",),
        tokens=tokens,
        losses=np.zeros((len(plan), 1)),
        errors=None,
        scale=np.full(len(plan), total),
        changed=tuple(BASE if i is None else f"d{i}" for i, _ in plan),
        labels=tuple(f"{i} {factor:.2f}" for i, factor in plan),
    )


def ddo_trial(rng: np.random.Generator, noise: float, seeds: int = 2) -> Trial:
    """Curves around the published values, measured by a DDO design."""
    n = DDO_DOMAINS
    a, b = np.exp(rng.normal(1.0, 0.3, n)), np.exp(rng.normal(0.5, 0.2, n))
    design = ddo_design(n, seeds)

    def objective(tokens: Floats) -> Floats:
        return 3 + 3 * (((a + tokens / (TOTAL / n)) ** -b).sum(-1) - ((a + 1) ** -b).sum())

    clean = objective(design.tokens)
    runs = with_losses(design, (clean + noise * rng.normal(size=len(clean)))[:, None])
    feasible = feasible_set(Constraints(floor=0.01), runs.domains)
    bounds = feasible.low * TOTAL, feasible.high * TOTAL
    best = separable_optimum(a, b, np.full(n, TOTAL / n), *bounds, TOTAL) / TOTAL
    return Trial(
        runs=runs,
        feasible=feasible,
        optimum=best,
        objective=lambda shares: objective(shares * TOTAL),
    )


def with_losses(runs: Runs, losses: Floats) -> Runs:
    """The same runs with other losses."""
    return replace(runs, losses=losses)


def family_truth(name: str, rng: np.random.Generator, n: int) -> tuple[Family, Floats]:
    """Parameters of a family that a swarm could have: every loss hangs most on its own domain."""
    own = np.eye(n)
    shares_only = Inputs(unit=1.0, with_total=False)
    if name == "joint":
        rows = [
            [rng.uniform(1.5, 2.5), np.log(rng.uniform(0.15, 0.4)), np.log(rng.uniform(0.6, 1)),
             *(rng.normal(0, 1, n) + 3 * own[v])]
            for v in range(n)
        ]  # fmt: skip
        return SumOfTerms(term=EffectiveTokens(), unit=1.0), np.array(rows)
    if name == "bimix":
        sizes = rng.normal(-0.5, 0.3, n), rng.normal(1, 0.2, n)
        powers = np.full(n, np.log(0.3)), np.log(rng.uniform(0.04, 0.15, n))
        return Bivariate(unit=1.0, own=np.arange(n)), np.column_stack([*sizes, *powers])
    if name == "linear":
        rows = [3 + rng.normal(0, 0.1, n) - 0.5 * own[v] for v in range(n)]
        return Linear(inputs=shares_only), np.array(rows)
    if name == "quadratic":
        return Quadratic(inputs=shares_only), np.array([_bowl(rng, own[v]) for v in range(n)])
    rows = [[rng.uniform(1.5, 2.5), *(rng.normal(0, 0.3, n) - 1.5 * own[v])] for v in range(n)]
    return Exponential(inputs=shares_only), np.array(rows)


def _bowl(rng: np.random.Generator, own: Floats) -> Floats:
    """Coefficients of a loss that is convex and falls with its own domain's share, ever less."""
    n = len(own)
    slopes = rng.normal(0, 0.1, n) - 1.5 * own
    first, second = np.triu_indices(n)
    squares = np.where(first == second, (0.2 + 0.7 * own)[first], 0.0)
    return np.concatenate([[3.0], slopes, squares])


def swarm_trial(
    name: str, rng: np.random.Generator, noise: float = 0.005, runs: int = SWARM_RUNS
) -> Trial:
    """Losses of random mixtures under a truth from the family of one law."""
    n, count = SWARM_DOMAINS, runs
    family, theta = family_truth(name, rng, n)
    shares = rng.dirichlet(np.ones(n), count)
    losses = family.predict(theta, Points(tokens=shares)).T
    names = tuple(f"d{i}" for i in range(n))
    feasible = feasible_set(Constraints(floor=0.01), names)
    truth = SmoothLaw(
        domains=names,
        objective=objective_function(Objective(), names),
        family=family,
        theta=theta,
        runs=None,
    )
    return Trial(
        runs=swarm_runs(names, shares, losses + noise * rng.normal(size=losses.shape)),
        feasible=feasible,
        optimum=truth.optimum(feasible, SHARES_ONLY).shares,
        objective=lambda shares: truth.predict_objective(Points(tokens=shares)),
    )


def tree_trial(rng: np.random.Generator, noise: float, runs: int) -> Trial:
    """Losses of random mixtures under trees: those that were fitted to a joint law's losses."""
    first = swarm_trial("joint", rng, runs=runs)
    truth = fit_trial(first, "regmix")
    clean = truth.predict_losses(first.runs.points)
    return Trial(
        runs=with_losses(first.runs, clean + noise * rng.normal(size=clean.shape)),
        feasible=first.feasible,
        optimum=truth.optimum(first.feasible, SHARES_ONLY).shares,
        objective=lambda shares: truth.predict_objective(Points(tokens=shares)),
    )


def swarm_runs(names: tuple[str, ...], shares: Floats, losses: Floats) -> Runs:
    """Runs of mixtures whose budget is not known."""
    count = len(shares)
    return Runs(
        domains=names,
        validation=names,
        tokens=shares,
        losses=losses,
        errors=None,
        scale=np.ones(count),
        changed=(MIXTURE,) * count,
        labels=tuple(str(i) for i in range(count)),
    )


def attempt(trial: Trial, law: str, rng: np.random.Generator, draws: int) -> Outcome:
    """Fit a law to a trial; compare its optimum and intervals with the truth."""
    run = PlannedRun(token_budget=float(trial.runs.scale[0]))
    fitted = fit_trial(trial, law)
    drawn = fitted.draws(rng, draws)
    assert drawn is not None
    low, high = interval(drawn.optima(trial.feasible, run))
    found = fitted.optimum(trial.feasible, run).shares
    uniform = np.full(len(found), 1 / len(found))
    values = trial.objective(np.stack([found, uniform, trial.optimum]))
    return Outcome(
        truth=trial.optimum,
        found=found,
        low=low,
        high=high,
        regret=float(values[0] - values[2]),
        uniform_regret=float(values[1] - values[2]),
    )


def fit_trial(trial: Trial, law: str) -> FittedLaw:
    """Fit a law to a trial's runs with the noise that they tell."""
    aim = objective_function(Objective(), trial.runs.validation)
    return law_named(law).fit(trial.runs, aim, comparison_noise(trial.runs, aim, reference_law()))


def trials(law: str, noise: float | None, seeds: int, count: int) -> list[Outcome]:
    """Outcomes of independent trials, always the same ones."""
    outcomes = []
    for number in range(count):
        rng = np.random.default_rng([number, seeds])
        if law == "ddo":
            trial, draws = ddo_trial(rng, noise or 0.003, seeds), 300
        elif law == "regmix":
            trial, draws = tree_trial(rng, noise or 0.01, TREE_RUNS), 40
        else:
            trial, draws = swarm_trial(law, rng, noise or 0.005), 60
        outcomes.append(attempt(trial, law, rng, draws))
    return outcomes


def report(name: str, outcomes: list[Outcome], seconds: float) -> None:
    """Print the rate at which intervals hold the truth, with its standard error.

    The shares of a trial depend on each other, so the error is that of the trials' means.
    """
    rates = np.array([outcome.inside.mean() for outcome in outcomes])
    error = rates.std(ddof=1) / np.sqrt(len(rates))
    regret = np.mean([o.regret for o in outcomes]) / np.mean([o.uniform_regret for o in outcomes])
    width = np.mean([o.high - o.low for o in outcomes])
    print(
        f"{name}: coverage {rates.mean():.3f} +- {error:.3f} ({len(rates)} trials, mean width "
        f"{width:.3f}), loss above the optimum {regret:.1%} of the uniform mixture's, "
        f"{seconds:.0f} s",
        flush=True,
    )


def far_trial(rng: np.random.Generator, shape: str, noise: float) -> tuple[Runs, Truth]:
    """A DDO design at two scales, with losses of one of two shapes, and the true losses."""
    n, scales = SWARM_DOMAINS, (4e6, 1.6e7)
    cross = np.exp(rng.normal(0, 0.5, (n, n)) + 2 * np.eye(n))
    floor, power = rng.uniform(1, 2, n), rng.uniform(0.15, 0.35, n)

    def joint(tokens: Floats) -> Floats:
        return floor + 2 * ((tokens / 4e6) ** 0.8 @ cross.T) ** -power

    def apart(tokens: Floats) -> Floats:
        own = 1.5 * (tokens / 4e6 + 0.1) ** -power
        return floor + own - 0.03 * np.log1p(tokens @ cross.T / 4e6)

    truth = joint if shape == "joint" else apart
    parts = [ddo_design(n, 2, scale) for scale in scales]
    tokens = np.concatenate([part.tokens for part in parts])
    losses = truth(tokens)
    names = parts[0].domains
    runs = Runs(
        domains=names,
        validation=names,
        tokens=tokens,
        losses=losses + noise * rng.normal(size=losses.shape),
        errors=None,
        scale=np.concatenate([part.scale for part in parts]),
        changed=tuple(name for part in parts for name in part.changed),
        labels=tuple(f"{label}@{k}" for k, part in enumerate(parts) for label in part.labels),
    )
    return runs, truth


def far_rates(law: str, shape: str, count: int, noise: float = 0.004) -> None:
    """Print how often objective and gain at 16 and 64 times the largest scale are as stated."""
    inside: dict[str, list[bool]] = {}
    gains: dict[str, list[float]] = {}
    for number in range(count):
        runs, truth = far_trial(np.random.default_rng([number, 5]), shape, noise)
        aim = objective_function(Objective(), runs.validation)
        budgets = (256_000_000, 1_024_000_000)
        question = Question(objective=aim, constraints=Constraints(), budgets=budgets, draws=200)
        found = find_mixtures(runs, law_named(law), estimate_noise(runs, aim), question)
        for answer in found.answers:
            value = truth(answer.shares[None] * answer.budget).mean()
            gain = truth(found.current[None] * answer.budget).mean() - value
            times = f"{answer.budget / 1.6e7:g} x"
            assert answer.objective_interval is not None
            assert answer.gains[0].interval is not None
            for name, true, (low, high) in (
                (f"objective at {times}", value, answer.objective_interval),
                (f"gain at {times}", gain, answer.gains[0].interval),
            ):
                inside.setdefault(name, []).append(low <= true <= high)
            gains.setdefault(times, []).append(float(gain))
    for name, held in inside.items():
        rate = np.mean(held)
        error = np.sqrt(max(rate * (1 - rate), 0.02) / len(held))
        print(f"{law}, truth {shape}: {name}: {rate:.2f} +- {error:.2f}", flush=True)
    for times, values in gains.items():
        print(f"{law}, truth {shape}: true gain over uniform at {times}: {np.mean(values):+.4f}")


@dataclass(frozen=True, kw_only=True)
class Told:
    """True gains over the uniform mixture of what could be trained on."""

    gains: dict[str, list[float]]
    """By rule, one for each trial."""
    changed: list[bool]
    """Whether the advice was to change."""
    held: list[bool]
    """Whether the interval of the step's gain holds its true gain."""

    def mean(self, rule: str) -> float:
        """Mean true gain."""
        return float(np.mean(self.gains[rule]))

    def harm(self, rule: str) -> float:
        """Part of the trials that lose by more than 0.0001."""
        return float(np.mean(np.array(self.gains[rule]) < -1e-4))


def advice_outcomes(spread: float, noise: float, count: int, measured: bool = False) -> Told:
    """What each rule would have gained, for domains that differ by `spread` in their curves.

    The noise is known, or measured from what a law leaves over of the runs of the one seed.

    The rules: the optimum itself; the optimum if it gains in 95 % of redrawn experiments, each
    checked on another one, else the uniform mixture; the mean of the redrawn optima; the step that
    `mixscale.fit.recommend` takes, whatever its advice; what it recommends.
    """
    gains: dict[str, list[float]] = {}
    changed, held = [], []
    for number in range(count):
        rng = np.random.default_rng([number, 7])
        runs, feasible, true = unlike_domains(rng, spread, noise)
        aim = objective_function(Objective(), runs.validation)
        known = Noise(losses=np.array([noise]), objective=noise, source="seeds", degrees=12)
        taken_for = comparison_noise(runs, aim, reference_law()) if measured else known
        law = law_named("ddo").fit(runs, aim, taken_for)
        draws = law.draws(rng, 200)
        assert draws is not None
        run = PlannedRun(token_budget=TOTAL)
        optima = draws.optima(feasible, run)
        best = law.optimum(feasible, run).shares
        current = np.full(len(best), 1 / len(best))
        predictor = Predictor(name="ddo", law=law, draws=draws, run=run)
        other = Predictor(
            name="joint", law=law_named("joint").fit(runs, aim, taken_for), draws=None, run=run
        )
        told = advise(predictor, best, optima, current, feasible, other)
        before, after = (
            predictor.predict_drawn(current[None]),
            predictor.predict_drawn(np.roll(optima, 1, 0)),
        )
        assert before is not None
        assert after is not None
        taken = step(told.step_size, optima.mean(0), current, feasible)
        rules = {
            "optimum": best,
            "change only if sure of the optimum": (
                best if interval(before - after)[0] > 0 else current
            ),
            "mean of redrawn optima": optima.mean(0),
            "step": taken,
            "recommended": taken if told.change else current,
        }
        for name, shares in rules.items():
            values = true(np.stack([current, shares]) * TOTAL)
            gains.setdefault(name, []).append(float(values[0] - values[1]))
        changed.append(told.change)
        assert told.interval is not None
        held.append(bool(told.interval[0] <= gains["step"][-1] <= told.interval[1]))
    return Told(gains=gains, changed=changed, held=held)


def unlike_domains(
    rng: np.random.Generator, spread: float, noise: float
) -> tuple[Runs, Feasible, Truth]:
    """Noisy runs of one seed, and the true objective; spread 0 makes uniform the best mixture."""
    n = DDO_DOMAINS
    a = np.exp(rng.normal(1.0, 0.3 if spread else 0.0, n))
    b, size = np.exp(rng.normal(0.4, spread, n)), np.exp(rng.normal(0, spread, n))
    design = ddo_design(n, 1)

    def true(tokens: Floats) -> Floats:
        x = tokens / (TOTAL / n)
        return 3 + 0.8 * (size * ((a + x) ** -b - (a + 1) ** -b)).sum(-1)

    losses = true(design.tokens) + noise * rng.normal(size=len(design))
    feasible = feasible_set(Constraints(floor=0.01), design.domains)
    return with_losses(design, losses[:, None]), feasible, true


def advice_report(count: int, measured: bool) -> None:
    """Print what each rule gains and how often it does harm."""
    for spread, noise in itertools.product((0.0, 0.1, 0.3), (0.005, 0.015, 0.04)):
        told = advice_outcomes(spread, noise, count, measured)
        rules = ", ".join(
            f"{name} {told.mean(name):+.4f} (harm {told.harm(name):.0%})" for name in told.gains
        )
        print(
            f"spread {spread}, noise {noise}: {rules}; changed {np.mean(told.changed):.0%}, "
            f"interval holds the step's gain {np.mean(told.held):.2f}",
            flush=True,
        )


CASES = {
    "ddo, 1 seed, noise 0.0005": ("ddo", 0.0005, 1),
    "ddo, 1 seed, noise 0.003": ("ddo", 0.003, 1),
    "ddo, 1 seed, noise 0.006": ("ddo", 0.006, 1),
    "ddo, 2 seeds, noise 0.0005": ("ddo", 0.0005, 2),
    "ddo, 2 seeds, noise 0.003": ("ddo", 0.003, 2),
    "ddo, 3 seeds, noise 0.006": ("ddo", 0.006, 3),
    "joint": ("joint", None, 0),
    "loglinear": ("loglinear", None, 0),
    "bimix": ("bimix", None, 0),
    "linear": ("linear", None, 0),
    "quadratic": ("quadratic", None, 0),
}
SLOWEST: dict[str, tuple[str, float | None, int]] = {"regmix": ("regmix", None, 0)}
"""Each trial refits trees forty times, six seconds of one core."""


def main() -> None:
    """Measure coverage for the laws asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", default="ddo,joint,loglinear,bimix,linear,quadratic")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--far", action="store_true", help="predictions at unmeasured budgets")
    parser.add_argument("--advice", action="store_true", help="what the advice gains")
    parser.add_argument(
        "--residuals", action="store_true", help="with --advice: noise as one seed's runs tell it"
    )
    arguments = parser.parse_args()
    if arguments.advice:
        advice_report(arguments.trials, arguments.residuals)
        return
    if arguments.far:
        for law, shape in itertools.product(("ddo", "joint"), ("joint", "apart")):
            far_rates(law, shape, arguments.trials)
        return
    for name, (law, noise, seeds) in (CASES | SLOWEST).items():
        if law not in arguments.laws.split(","):
            continue
        started = time.perf_counter()
        outcomes = trials(law, noise, seeds, arguments.trials)
        report(name, outcomes, time.perf_counter() - started)


if __name__ == "__main__":
    main()
