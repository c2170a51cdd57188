"""How far fits are right on published tables: errors, intervals, regret, advice.

    python -m benchmarks.validation [--laws joint,bimix] [--splits 3]
        [--write docs/validation/published-tables.md]

Every number comes from the published tables in `../shared/data/mixtures`. Each table's runs are
split at random into a part that is fitted and a held-out part, several times. The baselines
are plain fits of the same parts: least squares in the shares, an exponential of the shares, trees
of LightGBM. A choice is the held-out mixture that a fit predicts to be the best, its regret what it
lost against the best one measured. Advice is what a fit decides for that choice against the
held-out mixture nearest to uniform, and it is right when the measured gain has the sign it states.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from benchmarks import decisions, published
from benchmarks.coverage import reach_table
from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.inputs.objective import ObjectiveFunction, objective_function
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws, FittedLaw
from mixscale.fit.laws.registry import LAWS, law_named, reference_law
from mixscale.fit.laws.selection import choose_law
from mixscale.fit.recommend import advise
from mixscale.fit.uncertainty.gain import Predictor
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.residuals import comparison_noise

DRAWS, PAIRS, FITTED = 60, 200, 0.6
BASELINES = ("linear fit", "exponential fit", "LightGBM")
SLOW = ("ddo", "regmix")
"""Laws that are not tried here: one needs another design, one is the baseline LightGBM with an
optimum by simulation."""
START, END = "<!-- validation: start -->", "<!-- validation: end -->"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Runs to fit and runs held out, of one scale."""

    fitted: Runs
    held_out: Runs
    objective: ObjectiveFunction

    @property
    def truth(self) -> Floats:
        """(held_out,) measured objective."""
        return self.objective.value(self.held_out.losses)


@dataclass(kw_only=True)
class Found:
    """What one method came to on one table, a value for each split."""

    errors: list[float] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    regrets: list[float] = field(default_factory=list)
    predictions_held: list[float] = field(default_factory=list)
    differences_held: list[float] = field(default_factory=list)
    changes: list[bool] = field(default_factory=list)
    """Whether each advice to change gained."""
    keeps: list[bool] = field(default_factory=list)
    """Whether each advice to keep saved a loss."""


def splits(runs: Runs, count: int, fitted: int | None = None) -> list[Part]:
    """Random parts of a table's mixtures."""
    objective = objective_function(Objective(), runs.validation)
    parts = []
    for seed in range(count):
        order = np.random.default_rng([seed, 5]).permutation(len(runs))
        edge = round(FITTED * len(runs)) if fitted is None else fitted
        first, rest = sorted(order[:edge].tolist()), sorted(order[edge:].tolist())
        parts.append(Part(fitted=runs.where(first), held_out=runs.where(rest), objective=objective))
    return parts


def score_baseline(name: str, part: Part, found: Found) -> None:
    """Predict the held-out runs by a plain fit of the objective."""
    x, y = part.fitted.points.shares, part.objective.value(part.fitted.losses)
    predicted = _baseline(name, x, y)(part.held_out.points.shares)
    _score(predicted, part, found)


def score_law(name: str, part: Part, found: Found) -> None:
    """Predict the held-out runs by a law, with intervals and advice."""
    runs, objective = part.fitted, part.objective
    noise = comparison_noise(runs, objective, reference_law())
    if name == "auto":
        name = choose_law(runs, objective, noise).law
    law = law_named(name).fit(runs, objective, noise)
    points, truth = part.held_out.points, part.truth
    _score(law.predict_objective(points), part, found)
    draws = law.draws(np.random.default_rng(0), DRAWS)
    if draws is None:
        return
    drawn = np.column_stack(
        [draws.predict_objective(points.where([i])) for i in range(len(points))]
    )
    found.predictions_held.append(_held(drawn, truth))
    pairs = np.random.default_rng(1).integers(len(truth), size=(2, PAIRS))
    first, second = pairs[:, pairs[0] != pairs[1]]
    found.differences_held.append(
        _held(drawn[:, first] - drawn[:, second], truth[first] - truth[second])
    )
    _advice(name, law, draws, drawn, part, found)


def _advice(
    name: str, law: FittedLaw, draws: Draws, drawn: Floats, part: Part, found: Found
) -> None:
    """Decide between the best held-out mixture and the one in use, and see who was right."""
    shares, truth = part.held_out.points.shares, part.truth
    current = int(np.argmin(((shares - 1 / shares.shape[1]) ** 2).sum(1)))
    chosen = int(np.argmin(law.predict_objective(part.held_out.points)))
    if chosen == current:
        return
    run = part.fitted.planned(float(part.fitted.scale.max()))
    predictor = Predictor(name=name, law=law, draws=draws, run=run)
    feasible = feasible_set(Constraints(floor=0.0), part.fitted.domains)
    second = None
    if name != reference_law().name:
        noise = comparison_noise(part.fitted, part.objective, reference_law())
        other = reference_law().fit(part.fitted, part.objective, noise)
        second = Predictor(name=reference_law().name, law=other, draws=None, run=run)
    advice = advise(
        predictor, shares[chosen], shares[drawn.argmin(1)], shares[current], feasible, second
    )
    gain = float(truth[current] - truth[chosen])
    (found.changes if advice.change else found.keeps).append(
        gain > 0 if advice.change else gain <= 0
    )


def _score(predicted: Floats, part: Part, found: Found) -> None:
    truth = part.truth
    found.errors.append(float(np.abs(predicted - truth).mean()))
    found.ranks.append(float(np.asarray(spearmanr(predicted, truth))[0]))
    found.regrets.append(float(truth[int(np.argmin(predicted))] - truth.min()))


def _held(drawn: Floats, truth: Floats) -> float:
    low, high = interval(drawn)
    return float(((low <= truth) & (truth <= high)).mean())


def _baseline(name: str, x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """Fit a plain baseline; give its prediction of (points, domains) shares."""
    if name == "linear fit":
        slopes = np.linalg.lstsq(x, y, rcond=None)[0]
        return lambda shares: shares @ slopes
    if name == "exponential fit":
        start = np.concatenate([[y.min() - 0.3], np.full(x.shape[1], np.log(0.3))])
        limit = np.concatenate([[np.inf], np.full(x.shape[1], 20.0)])
        fitted = least_squares(
            lambda t: t[0] + np.exp(x @ t[1:]) - y, start, bounds=(-limit, limit)
        ).x
        return lambda shares: fitted[0] + np.exp(shares @ fitted[1:])
    import lightgbm

    settings = {"verbose": -1, "min_data_in_leaf": max(2, min(20, len(y) // 10)), "seed": 0}
    booster = lightgbm.train(settings, lightgbm.Dataset(x, y), num_boost_round=300)
    return lambda shares: np.asarray(booster.predict(shares))


def tables() -> dict[str, tuple[Runs, int | None]]:
    """Each table's runs of one scale, with the number of runs that are fitted."""
    found: dict[str, tuple[Runs, int | None]] = {"RegMix 1M, 64 runs": (published.regmix(), 64)}
    for name, read in published.SINGLE_SCALE.items():
        found[name] = (read(), None)
    return found


def report(laws: Sequence[str], count: int) -> str:
    """All tables as markdown."""
    scores = [
        "| table | method | error, SE | rank | regret | in the interval | differences in it |",
        "|---|---|---|---|---|---|---|",
    ]
    advice = [
        '| table | method | "change" right | "keep" right |',
        "|---|---|---|---|",
    ]
    for table, (runs, fitted) in tables().items():
        parts = splits(runs, count, fitted)
        for method in (*laws, *BASELINES):
            found, started = Found(), time.perf_counter()
            try:
                for part in parts:
                    if method in BASELINES:
                        score_baseline(method, part, found)
                    else:
                        score_law(method, part, found)
            except UserError as error:
                print(f"{table}, {method}: {error}", flush=True)
                continue
            scores.append(_score_row(table, method, found))
            print(f"{scores[-1]}  {time.perf_counter() - started:.0f} s", flush=True)
            if found.changes or found.keeps:
                advice.append(
                    f"| {table} | {method} | {_ratio(found.changes)} | {_ratio(found.keeps)} |"
                )
    return "\n".join(
        [
            "## One scale\n",
            *scores,
            "\n### Advice at that scale\n",
            *advice,
            "\n## The next larger scale or size: coverage\n",
            reach_table("joint"),
            "\n## The next larger scale: advice against uniform\n",
            decisions.table("joint", at_best=False),
            "\n## The next larger scale: the best mixture is in use already\n",
            decisions.table("joint", at_best=True, choices=decisions.CHOICES[1::2]),
        ]
    )


def _score_row(table: str, method: str, found: Found) -> str:
    error, spread = np.mean(found.errors), np.std(found.errors) / np.sqrt(len(found.errors))
    held = [
        f"{np.mean(rates):.2f}" if rates else "-"
        for rates in (found.predictions_held, found.differences_held)
    ]
    return (
        f"| {table} | {method} | {error:.4f} ± {spread:.4f} | {np.mean(found.ranks):.3f} "
        f"| {np.mean(found.regrets):.4f} | {held[0]} | {held[1]} |"
    )


def _ratio(right: Sequence[bool]) -> str:
    return f"{sum(right)} of {len(right)}" if right else "-"


def main() -> None:
    """Print the tables, and put them into the page if asked."""
    parser = argparse.ArgumentParser(description="Validate fits on published tables.")
    parser.add_argument("--laws", default=",".join(["auto", *(n for n in LAWS if n not in SLOW)]))
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced")
    arguments = parser.parse_args()
    text = report(arguments.laws.split(","), arguments.splits)
    print(text)
    if arguments.write is not None:
        page = arguments.write.read_text(encoding="utf-8")
        head, rest = page.split(START)
        _, tail = rest.split(END)
        with atomic_write(arguments.write) as stream:
            stream.write(f"{head}{START}\n\n{text}\n\n{END}{tail}")


if __name__ == "__main__":
    main()
