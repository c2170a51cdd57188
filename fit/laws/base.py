"""What every mixing law offers: fit, predict, optimum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.uncertainty.noise import Noise


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The best allowed mixture of a planned run under a fitted law."""

    shares: Floats
    """(domains,) summing to 1."""
    objective: float
    exact: bool
    """Whether the problem was convex, so that this is the global optimum."""
    how: str
    """How it was found, for people."""


class Draws(Protocol):
    """Fits to repetitions of the experiment that the noise makes likely."""

    def optima(self, feasible: Feasible, run: PlannedRun) -> Floats:
        """(draws, domains) optimal shares under each draw."""
        ...

    def predict_objective(self, points: Points) -> Floats:
        """(draws,) objective of as many points as draws, or of one, each under its own draw."""
        ...


class FittedLaw(Protocol):
    """A law with its parameters."""

    def predict_losses(self, points: Points) -> Floats:
        """(points, validation) predicted losses in nats."""
        ...

    def predict_objective(self, points: Points) -> Floats:
        """(points,) predicted objective."""
        ...

    def optimum(self, feasible: Feasible, run: PlannedRun) -> Optimum:
        """Find the best allowed mixture of a planned run."""
        ...

    def draws(self, rng: np.random.Generator, count: int) -> Draws | None:
        """Refit to resampled runs; None when the noise is not known."""
        ...

    def no_response(self) -> tuple[str, ...]:
        """Domains whose tokens do not measurably change the objective."""
        ...

    def too_noisy(self) -> tuple[str, ...]:
        """Domains whose response the noise hides; they keep their share."""
        ...

    def parameters(self) -> dict[str, Any]:
        """The parameters, as JSON can hold them."""
        ...


class Residuals(Protocol):
    """A parametric family that residuals can be taken around; see `uncertainty/residuals.py`."""

    def fit(
        self, points: Points, losses: Floats, weight: Floats, start: Floats | None = None
    ) -> Floats:
        """(draws, columns, parameters) of (draws, runs, columns) values."""
        ...

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(columns, points) predictions."""
        ...

    def tangents(self, theta: Floats, points: Points) -> Floats:
        """(columns, points, parameters) derivatives of the predictions by the parameters."""
        ...


@dataclass(frozen=True, kw_only=True)
class Law:
    """A way to fit.

    Only `name`, `fit`, `spans_scales` and `summary` are needed; the rest makes a law faster to
    compare, or of use to other laws.
    """

    name: str
    fit: Callable[[Runs, ObjectiveFunction, Noise], FittedLaw]
    spans_scales: bool
    """Whether one fit takes runs of all scales; other laws are fitted to each scale."""
    summary: str
    sees_parameters: bool = False
    """Whether it reads `Points.parameters`; a law that does not is fitted to the largest models."""
    sees_repetition: bool = False
    """Whether a token that is read again counts less under the law than a new one."""
    needs_base: bool = False
    """Whether the runs must be changes of one domain around a base run."""
    least_runs: int = 0
    """Runs from which `auto` compares the law."""
    intervals: str = (
        "Intervals come from refitting the law with noise as large as its residuals added."
    )
    """What its intervals rest on, for people."""
    load: Callable[[dict[str, Any], tuple[str, ...], ObjectiveFunction], FittedLaw] | None = None
    """Rebuild a law that spans scales from its `parameters()`, domains and objective. Without it a
    stored fit answers only for the token budgets that it was asked for."""
    leave_out: Callable[[Runs, ObjectiveFunction, Sequence[Bools]], Iterator[FittedLaw]] | None = (
        None
    )
    """Fit without each of some masks of runs, all at once; one after the other when absent."""
    coefficients: Callable[[Runs], int] | None = None
    """How many the law has for each validation loss of some runs: a scale with fewer runs is not
    fitted, and with as many `auto` does not take the law. Unknown when absent."""
    shrunken: bool = True
    """Whether priors hold what runs leave open; a law without has to leave more runs over."""
    residuals: Callable[[Runs], Residuals] | None = None
    """The family for some runs, where residuals around the law can serve as noise."""
