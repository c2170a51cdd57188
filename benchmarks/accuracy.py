"""Accuracies that saturate: the scale they are fitted on, and what is recommended by them.

    python -m benchmarks.accuracy [--trials 8]

Truth is synthetic: the loss of a task is a power law in effective tokens, its accuracy a sigmoid of
that loss, measured on 1000 items. Each shape of the sigmoid is tried with several truths. Compared
are scales on which a law may be fitted (the product's is `log odds`), by the mean absolute error of
the accuracy of other mixtures, and by what the law's best of 4000 mixtures lacks of the best one;
then the two ways to predict an accuracy where the loss of its task was measured too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.contracts.experiment import Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.metrics.scale import ResultScale
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE

SHAPES: dict[str, dict[str, float]] = {
    "middle": {"steep": 3.0, "at": 0.5},
    "saturating": {"steep": 6.0, "at": 0.9, "chance": 0.0, "top": 1.0},
    "near the top": {"steep": 5.0, "at": 1.2, "top": 1.0},
    "near chance": {"steep": 6.0, "at": -0.1},
    "steep": {"steep": 8.0, "at": 0.4, "top": 0.9},
    "no chance level": {"steep": 4.0, "at": 0.2, "chance": 0.0, "top": 0.7},
}
"""`at` is where the sigmoid is in its middle, as part of the way from low to high losses; `steep`
its slope over that way."""
ITEMS = 1000
RUNS, DOMAINS = 40, 5
LAWS = ("joint", "separable", "loglinear")
_EDGE = 1e-4
_ODDS = ResultScale(higher_is_better=True, bounds=(0.0, 1.0))
Scale = tuple[Callable[[Floats], Any], Callable[[Floats], Any]]
SCALES: dict[str, Scale] = {
    "error rate": (lambda a: 1 - a, lambda z: np.clip(1 - z, 0, 1)),
    "log error": (
        lambda a: np.log(np.clip(1 - a, _EDGE, 1)),
        lambda z: np.clip(1 - np.exp(z), 0, 1),
    ),
    "log accuracy": (
        lambda a: -np.log(np.clip(a, _EDGE, 1)),
        lambda z: np.clip(np.exp(-z), 0, 1),
    ),
    "log odds": (_ODDS.fitted, _ODDS.measured),
}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Losses and accuracies of one task as functions of (points, domains) shares."""

    loss: Callable[[Floats], Floats]
    accuracy: Callable[[Floats], Floats]


def truth(
    rng: np.random.Generator,
    domains: int,
    *,
    steep: float,
    at: float,
    chance: float = 0.25,
    top: float = 0.95,
) -> Truth:
    """A power law in effective tokens, and a sigmoid of it."""
    worth = np.exp(rng.normal(0, 1, domains))
    power, decay = rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.6)

    def loss(shares: Floats) -> Floats:
        mass = np.maximum(shares, 1e-5) ** power @ worth / worth.mean()
        return 0.5 + mass**-decay

    low, high = np.quantile(loss(rng.dirichlet(np.ones(domains), 2000)), [0.05, 0.95])
    slope, middle = steep / (high - low), low + at * (high - low)

    def accuracy(shares: Floats) -> Floats:
        return chance + (top - chance) / (1 + np.exp(slope * (loss(shares) - middle)))

    return Truth(loss=loss, accuracy=accuracy)


def measured(rng: np.random.Generator, accuracy: Floats, items: int = ITEMS) -> Floats:
    """Accuracies as a finite number of items shows them."""
    return rng.binomial(items, np.clip(accuracy, 0, 1)) / items


def runs_of(shares: Floats, values: Floats) -> Runs:
    """Runs with one result."""
    count, domains = shares.shape
    return Runs(
        domains=tuple(f"d{i}" for i in range(domains)),
        validation=("task",),
        tokens=shares,
        losses=values[:, None],
        errors=None,
        scale=np.ones(count),
        changed=(MIXTURE,) * count,
        labels=tuple(f"r{i}" for i in range(count)),
    )


def outcomes(trials: int) -> Iterator[tuple[str, str, str, float, float]]:
    """Shape, law, scale, error and what is lost, for each trial."""
    for shape, settings in SHAPES.items():
        for trial in range(trials):
            rng = np.random.default_rng(trial)
            task = truth(rng, DOMAINS, **settings)
            shares, others = (rng.dirichlet(np.ones(DOMAINS), n) for n in (RUNS, 4000))
            seen, true = measured(rng, task.accuracy(shares)), task.accuracy(others)
            for scale, (into, back) in SCALES.items():
                runs = runs_of(shares, into(seen))
                aim = objective_function(Objective(), runs.validation)
                for law in LAWS:
                    fitted = law_named(law).fit(runs, aim, UNKNOWN_NOISE)
                    predicted = back(fitted.predict_losses(Points(tokens=others))[:, 0])
                    error = float(np.abs(predicted - true).mean())
                    yield shape, law, scale, error, float(true.max() - true[predicted.argmax()])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=8)
    found = list(outcomes(parser.parse_args().trials))
    print(f"| shape | law | {' | '.join(SCALES)} |")
    print("|---|---|" + "---|" * len(SCALES))
    for shape in (*SHAPES, "all"):
        for law in LAWS:
            cells = []
            for scale in SCALES:
                rows = [
                    row
                    for row in found
                    if row[0] in (shape,) * (shape != "all") + tuple(SHAPES) * (shape == "all")
                    and row[1:3] == (law, scale)
                ]
                error, lost = np.mean([row[3] for row in rows]), np.mean([row[4] for row in rows])
                cells.append(f"{error:.4f}, {lost:.4f}")
            print(f"| {shape} | {law} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
