"""How well differences between mixtures are predicted at a larger budget, by three ways.

    python -m benchmarks.largest_scale [--laws joint,separable] [--tables "SlimPajama 122M"]

Early checkpoints of three of five mixtures of published curves are the runs, the last checkpoint of
the others is the truth. Printed is the mean absolute error of the objective there, each without its
mean over the mixtures: of the law of all checkpoints, of the law of the largest of them alone, and
of the first moved towards the second as far as left-out mixtures support it
(`mixscale.fit.scaling.largest_scale`), with the mean of that part. Curves whose checkpoints lie too
close for a law to tell of other budgets have no row.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.decisions import curves_of
from benchmarks.movement import Curves
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.mixture_order import in_order
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.mixing_law import choose
from mixscale.fit.scaling.largest_scale import MovedLaw

CHOICES = ((0, 1, 2), (1, 3), (1, 2, 3, 4), (0, 2))
FITTED = 0.6
"""Part of the mixtures that the laws are fitted to."""
SPLITS = 2


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Mean absolute errors of one case, nats."""

    whole: float
    alone: float
    moved: float
    part: float


def errors(curves: Curves, law: str, checkpoints: Sequence[int], seed: int) -> Errors | None:
    """Fit to some mixtures at some checkpoints; predict the others at the last one.

    None where the checkpoints are too close to tell of other budgets.
    """
    fitted = np.random.default_rng(seed).permutation(len(curves.shares)) < FITTED * len(
        curves.shares
    )
    few = replace(curves, shares=curves.shares[fitted], losses=curves.losses[fitted])
    chosen = choose(in_order(few.runs(checkpoints)), law, Objective(weights=curves.weights))
    question = Question(
        objective=chosen.objective,
        constraints=Constraints(),
        budgets=(round(float(curves.budgets[-1])),),
        draws=0,
    )
    found = find_mixtures(chosen.runs, chosen.law, chosen.noise, question)
    predictor = found.path.predictor_for(PlannedRun(token_budget=float(curves.budgets[-1])))
    if predictor is None:
        return None
    shares, last = curves.shares[~fitted], found.scales[-1]
    truth = chosen.objective.value(curves.losses[~fitted, -1])
    moved = predictor.law
    whole = moved.whole if isinstance(moved, MovedLaw) else moved
    return Errors(
        whole=_missed(replace(predictor, law=whole).predict(shares), truth),
        alone=_missed(last.predictor.predict(shares), truth),
        moved=_missed(predictor.predict(shares), truth),
        part=moved.beside.part if isinstance(moved, MovedLaw) else 0.0,
    )


def _missed(predicted: Floats, truth: Floats) -> float:
    wrong = predicted - truth
    return float(np.abs(wrong - wrong.mean()).mean())


def rows(laws: Sequence[str], tables: Sequence[str]) -> Iterator[str]:
    """A row of markdown for each table and law."""
    yield "| curves | law | law of all scales | of the largest alone | moved | part |"
    yield "|---|---|---|---|---|---|"
    for curves in curves_of(tables):
        for law in laws:
            tried = [
                errors(curves, law, checkpoints, seed)
                for checkpoints in CHOICES
                for seed in range(SPLITS)
                if checkpoints[-1] < len(curves.budgets) - 1
            ]
            found = [one for one in tried if one is not None]
            if not found:
                continue
            means = [
                np.mean([getattr(one, name) for one in found])
                for name in ("whole", "alone", "moved")
            ]
            part = np.mean([one.part for one in found])
            cells = " | ".join(f"{mean:.4f}" for mean in means)
            yield f"| {curves.name} | `{law}` | {cells} | {part:.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--laws", default="joint,separable", help="separated by commas")
    parser.add_argument("--tables", default="", help="parts of names, separated by commas")
    arguments = parser.parse_args()
    tables = [name for name in arguments.tables.split(",") if name]
    for row in rows(arguments.laws.split(","), tables):
        print(row, flush=True)


if __name__ == "__main__":
    main()
