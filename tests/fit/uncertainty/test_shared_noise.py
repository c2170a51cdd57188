"""Intervals when the noise of a run is common to all its validation domains."""

from __future__ import annotations

import numpy as np

from mixscale.contracts.experiment import Objective
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.mixing_law import choose
from mixscale.fit.uncertainty.model_error import DrawsWithError

DOMAINS = ("a", "b", "c")
VALIDATION = ("v", "w", "x", "y")
RUNS, SHARED = 40, 0.05


def experiment(rng: np.random.Generator) -> Runs:
    """Losses linear in the shares, with the same noise for all losses of a run."""
    shares = np.random.default_rng(1).dirichlet(np.ones(len(DOMAINS)), RUNS)
    slopes = np.array([[3.0, 3.2, 3.4, 3.6], [3.5, 3.1, 3.3, 3.0], [3.9, 3.5, 3.0, 3.2]])
    noise = SHARED * rng.normal(size=(RUNS, 1)) + 0.001 * rng.normal(size=(RUNS, len(VALIDATION)))
    return Runs(
        domains=DOMAINS,
        validation=VALIDATION,
        tokens=shares * 1e6,
        losses=shares @ slopes + noise,
        errors=None,
        scale=np.full(RUNS, 1e6),
        changed=(MIXTURE,) * RUNS,
        labels=tuple(str(number) for number in range(RUNS)),
    )


def test_draws_scatter_as_much_as_repeated_experiments() -> None:
    rng = np.random.default_rng(0)
    corner = np.array([[0.8e6, 0.1e6, 0.1e6]])
    fits = [choose(experiment(rng), "linear", Objective()).fitted for _ in range(100)]
    between = np.std([fit.predict_objective(Points(tokens=corner))[0] for fit in fits])
    draws = fits[0].draws(rng, 100)
    assert draws is not None
    # A repeated experiment has the law's own error too, and does not show it.
    assert isinstance(draws, DrawsWithError)
    drawn = np.std(draws.draws.predict_objective(Points(tokens=corner)))
    # Drawn for each of the four losses alone the noise would halve in their mean.
    assert 0.7 < drawn / between < 1.4
