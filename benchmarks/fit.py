"""Times of the fits, against the issue's limits or against the scripts' way.

    python -m benchmarks.fit [--tables FOLDER] [--regmix FOLDER]

The RegMix part needs the published tables, `regmix_train_1m_*.csv` with the test files. With the
`data` folder of RegMix's repository it also ranks the mixtures of its 60M and 1B models.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.mixture_table import mixtures_of
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.tables import join, read_table
from mixscale.fit.laws.registry import law_named
from mixscale.fit.optimize.separable import separable_optimum
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE, estimate_noise


def clocked(task: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, wall-clock seconds and processor seconds of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    result = task()
    return result, time.perf_counter() - wall, time.process_time() - processor


def ddo_design(domains: int, scales: tuple[float, ...], seeds: int) -> Runs:
    """Runs of a DDO design with power-law losses and a little noise."""
    rng = np.random.default_rng(0)
    worth = rng.uniform(0.5, 2, domains)
    rows = []
    for scale in scales:
        for name, factor in [("", 1.0)] + [(i, f) for i in range(domains) for f in (3.0, 1 / 3)]:
            for _ in range(seeds):
                tokens = np.full(domains, scale / domains)
                if name != "":
                    tokens[name] *= factor
                losses = 2 + worth * (tokens / 1e8 + 0.1) ** -0.3
                rows.append(
                    (tokens, losses + 0.003 * rng.normal(size=domains), name, factor, scale)
                )
    return Runs(
        domains=tuple(f"d{i}" for i in range(domains)),
        validation=tuple(f"d{i}" for i in range(domains)),
        tokens=np.array([row[0] for row in rows]),
        losses=np.array([row[1] for row in rows]),
        errors=None,
        scale=np.array([row[4] for row in rows]),
        changed=tuple("" if row[2] == "" else f"d{row[2]}" for row in rows),
        labels=tuple(f"{row[2]} {row[3]:.2f} {row[4]}" for row in rows),
    )


def seven_domains() -> None:
    """Seven domains, two scales, 1,000 resamples: limit 2 s."""
    runs = ddo_design(7, (3e8, 1.2e9), seeds=2)
    aim = objective_function(Objective(), runs.validation)
    question = Question(
        objective=aim, constraints=Constraints(), budgets=(10**11, 10**12), draws=1000
    )
    noise = estimate_noise(runs, aim)
    _, wall, processor = clocked(lambda: find_mixtures(runs, law_named("ddo"), noise, question))
    print(f"7 domains, 2 scales, 1000 resamples: {wall:.2f} s ({processor:.2f} s processor)")


def hundred_domains() -> None:
    """A hundred domains, optimum only: limit 1 s."""
    rng = np.random.default_rng(0)
    a, b, base = rng.uniform(0.1, 5, 100), rng.uniform(0.1, 2, 100), rng.uniform(1, 3, 100)
    low, high = np.full(100, 0.001), np.ones(100)
    _, wall, processor = clocked(lambda: separable_optimum(a, b, base, low, high, 1.0))
    print(f"100 domains, DDO optimum: {1000 * wall:.1f} ms ({1000 * processor:.1f} ms processor)")


def published_way(x: Floats, y: Floats) -> Floats:
    """`c + k exp(t w)` by LBFGS from many starts on the Huber loss, as the scripts of Data Mixing
    Laws fit each target."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)

    def loss(theta: Floats) -> float:
        missed = theta[0] + np.exp(theta[1] + x @ theta[2:]) - y
        size = np.abs(missed)
        return float(np.where(size < 0.02, 0.5 * missed**2, 0.02 * (size - 0.01)).mean())

    best = None
    for _ in range(50):
        start = np.concatenate([[rng.uniform(0, y.min())], rng.normal(0, 1, 1 + x.shape[1])])
        found = minimize(loss, start, method="L-BFGS-B", options={"maxiter": 200})
        best = found if best is None or found.fun < best.fun else best
    assert best is not None
    return best.x


TARGETS, SIMULATED = 17, 10_000
"""As many targets as the table has domains. RegMix's notebook simulates ten times as many."""


def seventeen(runs: Runs) -> Runs:
    """The runs with 17 targets: the 13 measured losses, then the first four once more."""
    order = np.arange(TARGETS) % len(runs.validation)
    names = tuple(f"{runs.validation[k]}.{i}" for i, k in enumerate(order))
    return replace(runs, validation=names, losses=runs.losses[:, order])


def trees_as_published(train: Runs, test: Runs) -> Floats:
    """LightGBM for each target, then the best of simulated mixtures: the notebook's way."""
    rng = np.random.default_rng(0)
    law, _, processor = clocked(
        lambda: law_named("regmix").fit(
            train, objective_function(Objective(), train.validation), UNKNOWN_NOISE
        )
    )
    print(f"RegMix table, trees: fits alone {processor:.2f} s processor")
    mixtures = rng.dirichlet(train.points.shares.mean(0) + 1e-6, SIMULATED)
    predicted = law.predict_objective(Points(tokens=mixtures))
    mixtures[np.argsort(predicted)[:100]].mean(0)
    return law.predict_losses(test.points)


def joint_with_optimum(train: Runs, test: Runs) -> Floats:
    """Our way: the joint law of every target, then the convex optimum of their mean."""
    law = law_named("joint").fit(
        train, objective_function(Objective(), train.validation), UNKNOWN_NOISE
    )
    law.optimum(feasible_set(Constraints(floor=0.0), train.domains), PlannedRun(token_budget=1.0))
    return law.predict_losses(test.points)


def regmix_table(tables: Path) -> None:
    """The 512 x 17 table: 17 targets with the optimum of their mean, three ways."""
    import lightgbm  # noqa: F401  what is loaded once does not count
    import scipy.optimize  # noqa: F401

    train, test = seventeen(_regmix(tables, "train")), seventeen(_regmix(tables, "test"))
    for name, way in (("joint", joint_with_optimum), ("trees", trees_as_published)):
        predicted, wall, processor = clocked(lambda way=way: way(train, test))
        error = np.abs(predicted - test.losses).mean()
        print(
            f"RegMix table, {name}: {TARGETS} targets with the optimum {wall:.2f} s "
            f"({processor:.2f} s processor), held-out error {error:.4f} nats"
        )
    column = column_of(train)
    theta, wall, processor = clocked(lambda: published_way(train.tokens, column))
    predicted = theta[0] + np.exp(theta[1] + test.tokens @ theta[2:])
    error = np.abs(predicted - column_of(test)).mean()
    print(
        f"RegMix table, LBFGS from 50 starts: one target {wall:.2f} s ({processor:.2f} s "
        f"processor), held-out error {error:.4f} nats on Pile-CC"
    )


def column_of(runs: Runs) -> Floats:
    """(runs,) the Pile-CC loss."""
    return runs.losses[:, [name.split(".")[0] for name in runs.validation].index("pile_cc")]


def larger_models(tables: Path, folder: Path) -> None:
    """Rank correlation with the 60M and 1B models of laws fitted to the 1M models."""
    from scipy.stats import spearmanr

    train = _regmix(tables, "train")
    aim = objective_function(Objective(), train.validation)
    for name in ("joint", "regmix"):
        law = law_named(name).fit(train, aim, UNKNOWN_NOISE)
        for size in ("60m", "1B"):
            mixtures = read_table(folder / f"test_mixture_{size}.csv")
            losses = read_table(folder / f"test_pile_loss_{size}.csv")
            rows = [mixtures["index"].index(i) for i in losses["index"]]
            columns = [mixtures[f"train_the_pile_{domain}"] for domain in train.domains]
            shares = np.array(columns).T[rows]
            predicted = law.predict_losses(Points(tokens=shares / shares.sum(1, keepdims=True)))
            ranks = [
                float(np.asarray(spearmanr(predicted[:, k], losses[key])[0]))
                for k, key in enumerate(f"metric/the_pile_{v}_val_loss" for v in train.validation)
            ]
            pile_cc = ranks[train.validation.index("pile_cc")]
            print(
                f"{name}, {len(rows)} mixtures of {size} models: rank correlation {pile_cc:.4f} on "
                f"Pile-CC, {np.mean(ranks):.4f} on average over {len(ranks)} losses"
            )


def _regmix(tables: Path, part: str) -> Runs:
    mixtures = mixtures_of(read_table(tables / f"regmix_{part}_1m_mixture.csv"), "mixtures")
    return join(mixtures, read_table(tables / f"regmix_{part}_1m_loss.csv"), part)[0]


def main() -> None:
    """Run every benchmark that has its data."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "mixtures"
    parser.add_argument("--tables", type=Path, default=default)
    parser.add_argument("--regmix", type=Path)
    arguments = parser.parse_args()
    tables = arguments.tables
    seven_domains()
    hundred_domains()
    if (tables / "regmix_train_1m_mixture.csv").is_file():
        regmix_table(tables)
        if arguments.regmix is not None:
            larger_models(tables, arguments.regmix)


if __name__ == "__main__":
    main()
