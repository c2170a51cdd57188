"""Advice for the last checkpoint from earlier ones, on published curves, and who was right.

    python -m benchmarks.decisions [--tables "SlimPajama 122M"] [--choices 0,1,2 1,3]

Early checkpoints are the runs, the last one is the target. What the last checkpoints say of a
mixture is the mean of two laws fitted to them alone (`benchmarks/movement.py`), so that the noise
of a single run is not taken for a gain. A change is right where the recommended mixture gains over
the uniform one, to keep it where the step that was considered does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import published
from benchmarks.movement import Curves, Truth, redpajama, slimpajama
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.covered import covered_shares
from mixscale.fit.constraints.near_runs import NearRuns
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import FoundMixture, Question
from mixscale.fit.inputs.mixture_order import in_order
from mixscale.fit.laws.registry import law_named
from mixscale.fit.mixing_law import choose

CHOICES = ((0, 1, 2), (1, 3), (1, 2, 3, 4), (2, 5))


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One decision with what became of it."""

    table: str
    checkpoints: tuple[int, ...]
    change: bool
    border: bool
    promised: float
    low: float
    high: float
    true_gain: float
    """Of the step that was considered, over uniform."""
    possible: float
    """Of the best mixture over uniform."""

    @property
    def right(self) -> bool:
        """Whether the advice was the better of the two."""
        return (self.true_gain > 0) == self.change

    @property
    def held(self) -> bool:
        """Whether the interval holds the true gain."""
        return self.low <= self.true_gain <= self.high

    def line(self) -> str:
        """All of it, for people."""
        action = "change" if self.change else "keep, border" if self.border else "keep"
        return (
            f"{self.table:16} {self.checkpoints!s:14} {action:13} promised {self.promised:.4f} "
            f"({self.low:.4f} to {self.high:.4f}), true {self.true_gain:.4f} of {self.possible:.4f}"
        )


def table(law: str, at_best: bool, choices: Sequence[tuple[int, ...]] = CHOICES) -> str:
    """A row of markdown for each table of curves."""
    rows = [
        '| curves | "change" right | "keep" right | border cases | interval holds the true gain '
        "| true gain of what is recommended | of the best |",
        "|---|---|---|---|---|---|---|",
    ]
    for curves in curves_of([]):
        found = [decide(curves, checkpoints, law, at_best) for checkpoints in choices]
        for one in found:
            print(one.line(), flush=True)
        taken = np.mean([one.true_gain * one.change for one in found])
        rows.append(
            f"| {curves.name} | {_right([one for one in found if one.change])} "
            f"| {_right([one for one in found if not one.change])} "
            f"| {sum(one.border for one in found)} "
            f"| {sum(one.held for one in found)} of {len(found)} "
            f"| {taken:.4f} | {np.mean([one.possible for one in found]):.4f} |"
        )
    return "\n".join(rows)


def _right(found: Sequence[Decided]) -> str:
    return f"{sum(one.right for one in found)} of {len(found)}" if found else "-"


def decide(
    curves: Curves, checkpoints: Sequence[int], law: str = "joint", at_best: bool = False
) -> Decided:
    """Ask for the last budget, and look.

    Args:
        curves: What was measured.
        checkpoints: Those that are fitted.
        law: Its name.
        at_best: Whether the mixture in use is the best one already, as the last checkpoints say.
    """
    truth = Truth.of(curves)
    current = truth.best() if at_best else np.full(len(curves.domains), 1 / len(curves.domains))
    answer = answer_for(truth, curves, checkpoints, law, current)
    advice = answer.advice
    step = advice.start + (advice.step_size or 1.0) * (answer.average - advice.start)
    regrets = truth.regrets(np.stack([advice.start, step]))
    return Decided(
        table=curves.name,
        checkpoints=tuple(checkpoints),
        change=advice.change,
        border=advice.border,
        promised=advice.gain,
        low=float("nan") if advice.interval is None else float(advice.interval[0]),
        high=float("nan") if advice.interval is None else float(advice.interval[1]),
        true_gain=float(regrets[0] - regrets[1]),
        possible=float(regrets[0]),
    )


def answer_for(
    truth: Truth, curves: Curves, checkpoints: Sequence[int], law: str, current: Floats
) -> FoundMixture:
    """What a fit to some checkpoints of some curves answers for the budget of the truth.

    Args:
        truth: Whose objective and run are asked about.
        curves: Those that are fitted.
        checkpoints: Of them.
        law: Its name.
        current: (domains,) the mixture in use.
    """
    chosen = choose(in_order(curves.runs(checkpoints)), law, Objective(weights=curves.weights))
    question = Question(
        objective=truth.aim,
        constraints=Constraints(),
        budgets=(round(truth.run.token_budget),),
        current=current,
        covered=covered_shares(chosen.runs, current, Constraints().max_extrapolation),
        near=NearRuns.of(chosen.runs, Constraints().max_extrapolation),
    )
    return find_mixtures(chosen.runs, chosen.law, chosen.noise, question).answers[-1]


def curves_of(names: Sequence[str]) -> Iterator[Curves]:
    """The published learning curves."""
    folder = published.FOLDER
    for curves in (*slimpajama(folder), *(redpajama(folder, s) for s in ("70M", "160M", "305M"))):
        if not names or any(name in curves.name for name in names):
            yield curves


def main() -> None:
    """Print a line for each decision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default="", help="parts of names, separated by commas")
    parser.add_argument("--law", default="joint")
    parser.add_argument("--choices", nargs="*", help="checkpoints, such as 0,1,2")
    parser.add_argument("--at-best", action="store_true", help="the best mixture is in use")
    arguments = parser.parse_args()
    law_named(arguments.law)
    choices = [tuple(map(int, text.split(","))) for text in arguments.choices or ()] or CHOICES
    for curves in curves_of([name for name in arguments.tables.split(",") if name]):
        for checkpoints in choices:
            found = decide(curves, checkpoints, arguments.law, arguments.at_best)
            print(found.line(), flush=True)


if __name__ == "__main__":
    main()
