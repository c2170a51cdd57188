"""Regret of ways to take a mixture to a larger budget, on published learning curves.

    python -m benchmarks.movement --tables FOLDER

Early checkpoints are the proxy runs, the last ones the truth: two laws fitted to them alone, their
mean regret. `slimpajama_sizes_train.csv` has three model sizes, `mixinglaws_redpajama_*.csv` three.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.objective import ObjectiveFunction, objective_function
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.inputs.tables import read_table
from mixscale.fit.laws.base import FittedLaw
from mixscale.fit.laws.registry import law_named
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE

ONE = ((0,), (1,), (2,))
SEVERAL = ((0, 1), (0, 2), (1, 2), (0, 1, 2), (1, 3), (2, 4), (0, 2, 4), (1, 2, 3, 4))
TRUTH = ("joint", "loglinear")
TOKENS_PER_STEP = 1_048_576


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Learning curves of one model size on several mixtures."""

    name: str
    domains: tuple[str, ...]
    validation: tuple[str, ...]
    shares: Floats
    """(mixtures, domains)."""
    budgets: Floats
    """(checkpoints,) tokens."""
    losses: Floats
    """(mixtures, checkpoints, validation) nats."""
    weights: dict[str, float] | None = None

    def runs(self, checkpoints: Sequence[int]) -> Runs:
        """Some checkpoints as runs."""
        count = len(self.shares)
        numbers = [f"{i}" for i in range(count)]
        return Runs(
            domains=self.domains,
            validation=self.validation,
            tokens=np.concatenate([self.shares * self.budgets[k] for k in checkpoints]),
            losses=np.concatenate([self.losses[:, k] for k in checkpoints]),
            errors=None,
            scale=np.repeat(self.budgets[list(checkpoints)], count),
            changed=(MIXTURE,) * (count * len(checkpoints)),
            labels=tuple(f"{i}@{k}" for k in checkpoints for i in numbers),
            training_runs=tuple(numbers * len(checkpoints)),
        )


def slimpajama(tables: Path) -> list[Curves]:
    """The three sizes of the SlimPajama table, complete curves only."""
    table = read_table(tables / "slimpajama_sizes_train.csv")
    domains = tuple(name[2:] for name in table if name.startswith("w_"))
    rows = {}
    for i, key in enumerate(zip(table["model_size"], table["run_index"], strict=True)):
        rows.setdefault(key, []).append(i)
    found = []
    for size in sorted(set(table["model_size"])):
        # The last checkpoint comes twice.
        curves = [r[:-2] + r[-1:] for (at, _), r in rows.items() if at == size and len(r) == 11]
        losses = np.array(
            [[[table[f"loss_{d}"][i] for d in domains] for i in curve] for curve in curves], float
        )
        kept = np.isfinite(losses).all((1, 2))
        first = [curve[0] for curve in curves]
        tokens = np.array([[table["tokens"][i] for i in curve] for curve in curves], float)
        found.append(
            Curves(
                name=f"SlimPajama {size // 10**6}M",
                domains=domains,
                validation=domains,
                shares=np.array([[table[f"w_{d}"][i] for d in domains] for i in first])[kept],
                budgets=np.median(tokens, axis=0).astype(np.float64),
                losses=losses[kept],
            )
        )
    return found


def redpajama(tables: Path, size: str) -> Curves:
    """One size of the RedPajama curves of Data Mixing Laws."""
    table = read_table(tables / f"mixinglaws_redpajama_{size}.csv")
    weights = read_table(tables / "mixinglaws_valid_weights.csv")
    names, values = list(weights.values())[:2]
    domains = tuple(name[2:] for name in table if name.startswith("w_"))
    validation = tuple(sorted(set(table["valid_domain"])))
    steps = sorted({step for step in table["step"] if step <= 30_000})
    columns = zip(
        table["run_index"], table["step"], table["valid_domain"], table["loss"], strict=True
    )
    loss = {(run, step, domain): value for run, step, domain, value in columns}
    runs = sorted({run for run in table["run_index"] if run < 900})
    runs = [r for r in runs if all((r, s, v) in loss for s in steps for v in validation)]
    first = [table["run_index"].index(run) for run in runs]
    shares = np.array([[table[f"w_{d}"][i] for d in domains] for i in first], float)
    return Curves(
        name=f"RedPajama {size}",
        domains=domains,
        validation=validation,
        shares=shares / shares.sum(1, keepdims=True),
        budgets=np.array(steps, float) * float(TOKENS_PER_STEP),
        losses=np.array([[[loss[r, s, v] for v in validation] for s in steps] for r in runs]),
        weights=dict(zip(names, values, strict=True)),
    )


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the last checkpoints say of a mixture."""

    curves: Curves
    aim: ObjectiveFunction
    feasible: Feasible
    run: PlannedRun

    @classmethod
    def of(cls, curves: Curves) -> Truth:
        """The truth of some curves."""
        return cls(
            curves=curves,
            aim=objective_function(Objective(weights=curves.weights), curves.validation),
            feasible=feasible_set(Constraints(floor=0.01), curves.domains),
            run=PlannedRun(token_budget=float(curves.budgets[-1])),
        )

    def regrets(self, mixtures: Floats) -> Floats:
        """(mixtures,) objective above that of the best allowed mixture, the mean of two laws."""
        each = []
        for law in self._laws:
            best = law.optimum(self.feasible, self.run).objective
            each.append(law.predict_objective(self.run.with_shares(mixtures)) - best)
        return np.mean(each, axis=0)

    def best(self) -> Floats:
        """(domains,) the mean of the laws' optima."""
        return np.mean([law.optimum(self.feasible, self.run).shares for law in self._laws], axis=0)

    @cached_property
    def _laws(self) -> list[FittedLaw]:
        runs = self.curves.runs([len(self.curves.budgets) - 1])
        return [law_named(name).fit(runs, self.aim, UNKNOWN_NOISE) for name in TRUTH]


def ways(truth: Truth, checkpoints: Sequence[int], draws: int) -> dict[str, Floats]:
    """Mixture for the last budget by way of carrying it there."""
    runs = truth.curves.runs(checkpoints)
    joint = law_named("joint")
    whole = joint.fit(runs, truth.aim, UNKNOWN_NOISE)
    last = PlannedRun(token_budget=float(truth.curves.budgets[checkpoints[-1]]))
    alone = joint.fit(truth.curves.runs(checkpoints[-1:]), truth.aim, UNKNOWN_NOISE)
    question = Question(
        objective=truth.aim,
        constraints=Constraints(floor=0.01),
        budgets=(round(truth.run.token_budget),),
        draws=draws,
    )
    found = find_mixtures(runs, joint, UNKNOWN_NOISE, question)
    return {
        "uniform": np.full(len(truth.curves.domains), 1 / len(truth.curves.domains)),
        "project: law of all scales asked": whole.optimum(truth.feasible, truth.run).shares,
        "hold: law of all scales": whole.optimum(truth.feasible, last).shares,
        "hold: law of the largest scale": alone.optimum(truth.feasible, last).shares,
        "taken: movement that the runs support": found.answers[-1].shares,
    }


def report(tables: Path, draws: int) -> None:
    """Print mean regrets by table and number of scales."""
    for curves in [*slimpajama(tables), *(redpajama(tables, s) for s in ("70M", "160M", "305M"))]:
        truth = Truth.of(curves)
        for title, choices in (("one scale", ONE), ("several", SEVERAL)):
            found = [ways(truth, checkpoints, draws) for checkpoints in choices]
            regrets = np.array([truth.regrets(np.stack(list(way.values()))) for way in found])
            print(f"{curves.name}, {title} ({len(choices)} choices)")
            for k, name in enumerate(found[0]):
                worse = int((regrets[:, k] > regrets[:, 0]).sum())
                print(f"  {name:40} {regrets[:, k].mean():.4f}, worse than uniform {worse} times")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Regret of carried mixtures")
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=100)
    arguments = parser.parse_args()
    report(arguments.tables, arguments.draws)
