"""How often the intervals of a fit hold what unseen runs of published tables measured.

    python -m benchmarks.coverage [--laws joint,quadratic] [--tables "redpajama,slimpajama"]
        [--questions scale,edge,budget,size] [--seeds 4] [--first 0]

Four questions are asked:

* scale: a part of the runs of one scale is fitted, and the rest predicted;
* edge: left out are the mixtures that a linear fit to all runs of a scale likes best, a fifth of
  them, and as many others, over which they gain;
* budget: three quarters of the mixtures are fitted at two budgets, and all predicted at a larger
  one by what a fit answers for a target there;
* size: the same with all runs of one or two smaller models.

An objective of one loss is tried for some validation domains beside the mean of all. A gain is the
difference between any mixture and one of the eighth that the law likes best. Each part is the mean
over splits with its standard error, where several splits were made.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks import published, reach
from mixscale.contracts.config import format_tokens
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.contracts.target import Target
from mixscale.fit.arrays import Floats
from mixscale.fit.find_mixtures import find_mixtures, planned_run
from mixscale.fit.found_mixtures import Question
from mixscale.fit.inputs.mixture_order import in_order
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws
from mixscale.fit.laws.registry import law_named, reference_law
from mixscale.fit.mixing_law import choose
from mixscale.fit.uncertainty.gain import Predictor
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.residuals import comparison_noise

DRAWS, TARGETS, PAIRS, BEST = 100, 3, 200, 0.125
EDGE, REGMIX_RUNS = 0.2, 128


Cases = Callable[[Sequence[str], int], Iterator["Case"]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Runs to fit with runs to predict."""

    table: str
    fitted: Runs
    unseen: Runs
    beyond: bool = False
    """Whether the unseen runs are larger than those that are fitted."""
    edge: int = 0
    """How many of the unseen runs, the first ones, lie at the edge of the fitted ones."""


@dataclass(kw_only=True)
class Held:
    """What intervals held, of one table and law: a part for each split."""

    predictions: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def rates(self) -> list[str]:
        """Parts of predictions, differences and gains that were held, with standard errors."""
        return [_mean(part) for part in (self.predictions, self.differences, self.gains)]

    def line(self) -> str:
        """Rates, and the width of intervals of predictions by the deviation of what came."""
        width = f"{np.mean(self.widths):.1f}" if self.widths else "-"
        return "  ".join([*(f"{rate:>12}" for rate in self.rates()), f"{width:>6}"])

    def add_split(self, targets: Sequence[Held]) -> None:
        """Take what was held of several targets in one split for one observation."""
        for name in ("predictions", "differences", "gains", "widths"):
            values = [value for held in targets for value in getattr(held, name)]
            if values:
                getattr(self, name).append(float(np.mean(values)))


def _mean(parts: Sequence[float]) -> str:
    """Their mean, with its standard error where there are several."""
    if not parts:
        return "-"
    if len(parts) < 2:
        return f"{parts[0]:.2f}"
    return f"{np.mean(parts):.2f} +- {np.std(parts, ddof=1) / len(parts) ** 0.5:.2f}"


def measured_scale(names: Sequence[str], seed: int) -> Iterator[Case]:
    """Random parts of the tables of one scale."""
    rng = np.random.default_rng([seed, 11])
    if _wanted("regmix", names):
        train, test = published.regmix(), published.regmix(part="test")
        for count in (64, 256):
            chosen = np.sort(rng.permutation(len(train))[:count])
            yield Case(
                table=f"regmix, {count} runs", fitted=train.where(chosen.tolist()), unseen=test
            )
    for name, read in published.SINGLE_SCALE.items():
        if not _wanted(name, names):
            continue
        runs = read()
        order = rng.permutation(len(runs))
        count = round(0.6 * len(runs))
        yield Case(
            table=f"{name}, {count} runs",
            fitted=runs.where(np.sort(order[:count]).tolist()),
            unseen=runs.where(np.sort(order[count:]).tolist()),
        )


def edge(names: Sequence[str], seed: int) -> Iterator[Case]:
    """The best fifth of the runs of one scale left out, with as many others, for each objective."""
    rng = np.random.default_rng([seed, 14])

    def some_of_regmix() -> Runs:
        return published.regmix().where(np.sort(rng.permutation(512)[:REGMIX_RUNS]).tolist())

    for name, read in {"regmix": some_of_regmix, **published.SINGLE_SCALE}.items():
        if not _wanted(name, names):
            continue
        runs = read()
        single = rng.permutation(len(runs.validation))[:TARGETS].tolist()
        for column in [None, *single] if len(runs.validation) > 1 else [None]:
            one = _only(Case(table=name, fitted=runs, unseen=runs), column).fitted
            measured = objective_function(Objective(), one.validation).value(one.losses)
            order = np.argsort(_linear_fit(one.shares, measured))
            count = round(EDGE * len(order))
            rest = rng.permutation(order[count:])
            unseen = np.concatenate([order[:count], rest[:count]]).tolist()
            fitted = one.where(np.sort(rest[count:]).tolist())
            table = f"{name}, {len(fitted)} runs, edge"
            yield Case(table=table, fitted=fitted, unseen=one.where(unseen), edge=count)


def _linear_fit(shares: Floats, measured: Floats) -> Floats:
    """(runs,) what a plane through the (runs, domains) shares says of each run."""
    slopes, *_ = np.linalg.lstsq(shares, measured, rcond=None)
    return shares @ slopes


def next_scale(names: Sequence[str], seed: int) -> Iterator[Case]:
    """Two scales to fit, a larger one to predict; the seed chooses three quarters of the runs."""
    rng = np.random.default_rng([seed, 12])
    plans = [
        (f"slimpajama {size}, tenths {a}, {b} to {c}", lambda s=size, p=(a, b, c):
         published.slimpajama(s, parts=p))
        for size in ("122M", "310M", "680M")
        for a, b, c in ((2, 4, 6), (2, 4, 10), (3, 6, 10))
    ] + [
        (f"redpajama {size}, steps {a}k, {b}k to {c}k", lambda s=size, p=(a, b, c):
         published.redpajama(s, steps=[1000 * k for k in p]))
        for size in ("70M", "160M", "305M")
        for a, b, c in ((10, 20, 30), (10, 14, 20))
    ]  # fmt: skip
    for name, read in plans:
        if not _wanted(name, names):
            continue
        runs = read()
        labels = sorted(set(runs.labels))
        chosen = set(rng.permutation(labels)[: round(0.75 * len(labels))].tolist())
        keep = np.array([label in chosen for label in runs.labels])
        largest = runs.scale == runs.scales[-1]
        yield Case(
            table=name, fitted=runs.where(keep & ~largest), unseen=runs.where(largest), beyond=True
        )


def next_size(names: Sequence[str], seed: int) -> Iterator[Case]:
    """Smaller models to fit, a larger one to predict; the seed chooses three quarters of them."""
    rng = np.random.default_rng([seed, 16])
    for table, read in {"slimpajama": reach.slimpajama, "redpajama": reach.redpajama}.items():
        if not _wanted(table, names):
            continue
        runs = read()
        assert runs.parameters is not None
        mixtures = sorted(set(runs.mixtures))
        chosen = rng.permutation(mixtures)[: round(0.75 * len(mixtures))].tolist()
        for size in runs.sizes[1:].tolist():
            smaller, ends = runs.parameters < 0.99 * size, runs.is_end
            last = ends & (runs.parameters < 1.01 * size) & ~smaller
            models = len(runs.where(smaller).sizes)
            yield Case(
                table=f"{table}, {format_tokens(size)} from {models} smaller",
                fitted=runs.where(smaller & np.isin(runs.mixtures, chosen)),
                unseen=runs.where(last & (runs.scale == runs.scale[last].max())),
                beyond=True,
            )
    if _wanted("repeated", names):
        task = reach.repeated_text()
        yield Case(table=task.name, fitted=task.fitted, unseen=task.unseen, beyond=True)


QUESTIONS: dict[str, tuple[Cases, Callable[[str], bool]]] = {
    "scale": (measured_scale, lambda law: True),
    "edge": (edge, lambda law: True),
    "budget": (next_scale, lambda law: law_named(law).spans_scales),
    "size": (next_size, lambda law: law_named(law).sees_parameters),
}
"""How its cases are made, and which laws can answer."""


def reach_table(law: str, names: Sequence[str] = (), seed: int = 0) -> str:
    """Coverage at the next larger scale as markdown."""
    rows = ["| table | law | predictions | differences | gains |", "|---|---|---|---|---|"]
    for cases in (next_scale, next_size):
        for case in cases(names, seed):
            held = Held()
            count_held(case, law, seed, held)
            rows.append(f"| {case.table} | {law} | {' | '.join(held.rates())} |")
            print(rows[-1], flush=True)
    return "\n".join(rows)


def _wanted(table: str, names: Sequence[str]) -> bool:
    return not names or any(name in table for name in names)


def count_held(case: Case, law: str, seed: int, into: Held) -> None:
    """Fit a law to a case for several targets, and count what its intervals hold."""
    rng = np.random.default_rng([seed, 13])
    single = rng.permutation(len(case.fitted.validation))[:TARGETS].tolist()
    several = len(case.fitted.validation) > 1
    targets = [Held() for _ in range(1 + len(single) * several)]
    for column, held in zip([None, *single], targets, strict=False):
        _count_target(_only(case, column), law, rng, held)
    into.add_split(targets)


def _only(case: Case, column: int | None) -> Case:
    if column is None:
        return case

    def one(runs: Runs) -> Runs:
        return replace(
            runs,
            validation=(runs.validation[column],),
            losses=runs.losses[:, [column]],
            errors=None if runs.errors is None else runs.errors[:, [column]],
            results=runs.results[column : column + 1],
        )

    return replace(case, fitted=one(case.fitted), unseen=one(case.unseen))


def _count_target(case: Case, law: str, rng: np.random.Generator, into: Held) -> None:
    says = _of_target(case, law) if case.beyond else _of_scale(case, law)
    if says is None:
        return
    points, draws = case.unseen.points, says.draws
    assert draws is not None
    truth = objective_function(Objective(), case.unseen.validation).value(case.unseen.losses)
    predicted = says.law.predict_objective(points)
    drawn = drawn_at(draws, points)
    inside = _held(drawn, truth)
    into.predictions.append(float(inside.mean()))
    low, high = interval(drawn)
    into.widths.append(float((high - low).mean() / max(float(np.std(truth)), 1e-9)))
    shares = points.shares
    if shares.shape[1] < 2:
        return
    first, second = rng.integers(len(truth), size=(2, PAIRS))
    apart = first != second
    first, second = first[apart], second[apart]
    into.differences.append(
        float(_held(drawn[:, first] - drawn[:, second], truth[first] - truth[second]).mean())
    )
    liked = np.argsort(predicted)[: max(1, round(BEST * len(predicted)))]
    liked = np.arange(case.edge) if case.edge else liked
    best, others = rng.choice(liked, PAIRS), rng.integers(case.edge, len(truth), size=PAIRS)
    best, others = best[best != others], others[best != others]
    gains = drawn[:, others] - drawn[:, best]
    into.gains.append(float(_held(gains, truth[others] - truth[best]).mean()))


def _of_scale(case: Case, law: str) -> Predictor:
    """What a law of the fitted runs says of their own scale."""
    aim = objective_function(Objective(), case.fitted.validation)
    noise = comparison_noise(case.fitted, aim, reference_law())
    fitted = law_named(law).fit(case.fitted, aim, noise)
    draws = fitted.draws(np.random.default_rng(0), DRAWS)
    run = case.fitted.planned(float(case.fitted.scales[-1]))
    return Predictor(name=law, law=fitted, draws=draws, run=run)


def _of_target(case: Case, law: str) -> Predictor | None:
    """What a fit answers for a target as large as the unseen runs; None if it answers nothing."""
    chosen = choose(in_order(case.fitted), law, Objective())
    unseen = case.unseen
    tokens = float(unseen.scale.max())
    size = None if unseen.parameters is None else float(unseen.parameters.max())
    target = Target(tokens=round(tokens), parameters=None if size is None else round(size))
    question = Question(
        objective=chosen.objective, constraints=Constraints(), budgets=(target,), draws=DRAWS
    )
    path = find_mixtures(chosen.runs, chosen.law, chosen.noise, question).path
    return path.predictor_for(planned_run(chosen.runs, tokens, {}, size))


def drawn_at(draws: Draws, points: Points) -> Floats:
    """(draws, points) objective of every point under every draw."""
    return np.column_stack([draws.predict_objective(points.where([i])) for i in range(len(points))])


def _held(drawn: Floats, truth: Floats) -> Floats:
    low, high = interval(drawn)
    return (low <= truth) & (truth <= high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", default="joint,loglinear,quadratic,linear")
    parser.add_argument("--tables", default="", help="parts of names, separated by commas")
    parser.add_argument("--questions", default=",".join(QUESTIONS), help="some of the four")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    arguments = parser.parse_args()
    names = [name for name in arguments.tables.split(",") if name]
    print(f"{'table':<42} {'law':<10} prediction, difference, gain, width by deviation")
    for question in arguments.questions.split(","):
        cases, suits = QUESTIONS[question]
        laws = [law for law in arguments.laws.split(",") if suits(law)]
        counts: dict[tuple[str, str], Held] = {}
        started = time.perf_counter()
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            for case in cases(names, seed):
                for law in laws:
                    count_held(case, law, seed, counts.setdefault((case.table, law), Held()))
        for (table, law), counted in counts.items():
            print(f"{table:<42} {law:<10} {counted.line()}")
        print(f"{time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
