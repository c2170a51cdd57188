"""What every mixing law offers: fit, predict, optimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import Target
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.uncertainty.noise import Noise


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The best allowed mixture under a fitted law."""

    tokens: Floats
    """(domains,) summing to the token budget."""
    objective: float
    exact: bool
    """Whether the problem was convex, so that this is the global optimum."""
    how: str
    """How it was found, for people."""


class Draws(Protocol):
    """Fits to repetitions of the experiment that the noise makes likely."""

    def optima(self, feasible: Feasible, token_budget: float) -> Floats:
        """(draws, domains) optimal tokens under each draw."""
        ...

    def objective(self, tokens: Floats) -> Floats:
        """(draws,) objective of (draws or 1, domains) tokens, each under its own draw."""
        ...


class FittedLaw(Protocol):
    """A law with its parameters."""

    def losses(self, tokens: Floats) -> Floats:
        """(runs, validation) predicted losses in nats of (runs, domains) tokens."""
        ...

    def objective(self, tokens: Floats) -> Floats:
        """(runs,) predicted objective of (runs, domains) tokens."""
        ...

    def optimum(self, feasible: Feasible, token_budget: float) -> Optimum:
        """Find the best allowed mixture of a token budget."""
        ...

    def draws(self, rng: np.random.Generator, count: int) -> Draws | None:
        """Refit to resampled runs; None when the noise is not known."""
        ...

    def silent(self) -> tuple[str, ...]:
        """Domains without a measurable response."""
        ...

    def unclear(self) -> tuple[str, ...]:
        """Domains whose response the noise hides; they keep their share."""
        ...

    def parameters(self) -> dict[str, Any]:
        """The parameters, as JSON can hold them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Law:
    """A way to fit."""

    name: str
    fit: Callable[[Runs, Target, Noise], FittedLaw]
    spans_scales: bool
    """Whether one fit takes runs of all scales; other laws are fitted to each scale."""
    needs_base: bool = False
    """Whether the runs must be changes of one domain around a base run."""
    intervals: str = (
        "Intervals come from refitting the law with noise as large as its residuals added."
    )
    """What its intervals rest on, for people."""
    load: Callable[[dict[str, Any], tuple[str, ...], Target], FittedLaw] | None = None
    """Rebuild a law that spans scales from its `parameters()`, domains and target."""
    summary: str
