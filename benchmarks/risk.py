"""How often advice with some chance of a loss is a loss, and what each bound on it costs.

    python -m benchmarks.risk [--cases 8] [--tables RegMix,SlimPajama]

Each case takes some mixtures of a published table at some early checkpoints as the proxy runs, and
one of four mixtures as the one in use: uniform, one that was run, half way from uniform to the
best, the best. The target is the last checkpoint; of RegMix, which has no checkpoints, the same
scale. What is true of a mixture is the mean of two laws fitted to all runs there
(`benchmarks/movement.py`), so that no noise of single runs is taken for a gain; an error that both
laws share is not seen.

Printed is how often steps with some predicted chance of a loss were losses, those away from the
best of all mixtures apart: the truth chose that one, so that nearly every step from it is a loss,
which no fit can know. And for each `--risk`
how many changes it advises, how many of them lose and how much, and the mean regret: what the
mixtures that it recommends lose against the best ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from benchmarks import published
from benchmarks.decisions import answer_for, curves_of
from benchmarks.movement import Curves, Truth
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.tables import read_table

RISKS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
BINS = (0.0, 0.05, 0.2, 0.5)
LAW = "joint"
REGMIX_TOKENS = 1e9
FEWEST_PER_DOMAIN = 1.5
"""Mixtures of the smallest case, for each domain."""
IN_USE = ("uniform", "one that was run", "half way to the best", "the best")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A step that was weighed, and what it truly does."""

    table: str
    in_use: str
    """Which mixture is in use, of `IN_USE`."""
    harm: float
    """Predicted chance of a loss."""
    promised: float
    """Expected gain in nats."""
    supported: bool
    """Whether a step was found, is expected to gain, and no second law speaks against it."""
    true_gain: float
    """Of the step."""
    regret: float
    """Of the mixture in use."""

    def taken(self, risk: float) -> bool:
        """Whether a bound on the chance of a loss lets it be advised."""
        return self.supported and self.harm < risk


def cases(curves: Curves, count: int, rng: np.random.Generator) -> Iterator[Case]:
    """Cases of one table, the mixtures in use in turn."""
    truth = Truth.of(curves)
    best, uniform = truth.best(), np.full(len(curves.domains), 1 / len(curves.domains))
    for k in range(count):
        few = _some(curves, rng)
        run = few.shares[rng.integers(len(few.shares))]
        current = (uniform, run, 0.5 * (uniform + best), best)[k % 4]
        last = len(curves.budgets) - 1
        early = sorted(rng.choice(last, min(int(rng.integers(1, 4)), last), replace=False).tolist())
        yield _case(truth, few, early or [last], current, IN_USE[k % 4])


def _some(curves: Curves, rng: np.random.Generator) -> Curves:
    """Between the fewest and all mixtures, at random."""
    all_of_them = len(curves.shares)
    fewest = min(round(FEWEST_PER_DOMAIN * len(curves.domains)), all_of_them)
    count = int(np.exp(rng.uniform(np.log(fewest), np.log(min(all_of_them, 4 * fewest)))))
    rows = rng.choice(all_of_them, count, replace=False)
    return replace(curves, shares=curves.shares[rows], losses=curves.losses[rows])


def _case(
    truth: Truth, curves: Curves, checkpoints: list[int], current: Floats, in_use: str
) -> Case:
    answer = answer_for(truth, curves, checkpoints, LAW, current)
    advice = answer.advice
    step = advice.start + advice.step_size * (answer.average - advice.start)
    regrets = truth.regrets(np.stack([advice.start, step]))
    second = advice.second is None or advice.second.gain > 0
    return Case(
        table=truth.curves.name,
        in_use=in_use,
        harm=1.0 if advice.harm is None else advice.harm,
        promised=advice.gain,
        supported=advice.step_size > 0 and advice.gain > 0 and second and not advice.too_few,
        true_gain=float(regrets[0] - regrets[1]),
        regret=float(regrets[0]),
    )


def regmix() -> Curves:
    """RegMix's 768 mixtures at one scale."""
    parts = []
    for part in ("train", "test"):
        mixtures = read_table(published.FOLDER / f"regmix_{part}_1m_mixture.csv")
        losses = read_table(published.FOLDER / f"regmix_{part}_1m_loss.csv")
        names = [name for name in mixtures if name.startswith("w_")]
        results = [name for name in losses if name.startswith("loss_")]
        order = {index: i for i, index in enumerate(losses["index"])}
        rows = [order[index] for index in mixtures["index"]]
        shares = np.array([mixtures[name] for name in names], float).T
        values = np.array([losses[name] for name in results], float).T[rows]
        parts.append((shares / shares.sum(1, keepdims=True), values))
    shares, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Curves(
        name="RegMix 1M",
        domains=tuple(name.removeprefix("w_") for name in names),
        validation=tuple(name.removeprefix("loss_") for name in results),
        shares=shares,
        budgets=np.array([REGMIX_TOKENS]),
        losses=values[:, None],
    )


def calibration(found: list[Case]) -> Iterator[str]:
    """Rows: predicted chances of a loss, and how many steps with such a chance lost."""
    yield "| in use | predicted chance of a loss | steps | mean prediction | were losses |"
    yield "|---|---|---|---|---|"
    steps = [case for case in found if case.supported]
    best = IN_USE[-1]
    for name in ("any other", best):
        of_kind = [case for case in steps if (case.in_use == best) == (name == best)]
        for low, high in (*pairwise(BINS), (0.0, 1.0)):
            here = [case for case in of_kind if low <= case.harm < high]
            if here:
                yield (
                    f"| {name} | {low:g} to {high:g} | {len(here)} "
                    f"| {np.mean([c.harm for c in here]):.2f} "
                    f"| {np.mean([c.true_gain < 0 for c in here]):.2f} |"
                )


def bounds(found: list[Case]) -> Iterator[str]:
    """Rows: what each bound on the chance of a loss comes to."""
    yield "| risk | changes | of them losses | mean loss of those | mean regret | largest loss |"
    yield "|---|---|---|---|---|---|"
    nothing = np.mean([case.regret for case in found])
    yield f"| 0, always keep | 0 of {len(found)} | - | - | {nothing:.4f} | - |"
    for risk in RISKS:
        taken = [case for case in found if case.taken(risk)]
        lost = [-case.true_gain for case in taken if case.true_gain < 0]
        left = np.mean([c.regret - (c.true_gain if c.taken(risk) else 0.0) for c in found])
        mean, largest = (f"{np.mean(lost):.4f}", f"{max(lost):.4f}") if lost else ("-", "-")
        part = f"{len(lost) / len(taken):.2f}" if taken else "-"
        changes = f"{len(taken)} of {len(found)}"
        yield f"| {risk:g} | {changes} | {part} | {mean} | {left:.4f} | {largest} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=8, help="of each table")
    parser.add_argument("--tables", default="", help="parts of names, separated by commas")
    arguments = parser.parse_args()
    names = [name for name in arguments.tables.split(",") if name]
    everything = [*curves_of([]), regmix()]
    found: list[Case] = []
    for number, curves in enumerate(everything):
        if names and not any(name in curves.name for name in names):
            continue
        for case in cases(curves, arguments.cases, np.random.default_rng(number)):
            found.append(case)
            print(case, flush=True)
    for line in (*calibration(found), "", *bounds(found)):
        print(line)


if __name__ == "__main__":
    main()
