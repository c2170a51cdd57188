"""What a fit is asked, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mixscale.contracts.experiment import Constraints
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws, FittedLaw, Optimum
from mixscale.fit.recommend import Advice
from mixscale.fit.scaling.optimum_path import OptimumPath
from mixscale.fit.uncertainty.gain import GainOver, Predictor

NO_RESPONSE = "no measurable response"
TOO_NOISY = "too noisy to tell"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the fit is asked."""

    objective: ObjectiveFunction
    constraints: Constraints
    budgets: tuple[int, ...]
    """Token budgets to project the mixture to."""
    available: Mapping[str, int] = field(default_factory=dict)
    current: Floats | None = None
    """(domains,) the mixture in use now."""
    draws: int = 1000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ScaleFit:
    """A fitted law with its optimum at one scale."""

    name: str
    """Of the law."""
    scale: float
    run: PlannedRun
    """A run of this scale."""
    runs: Runs
    objective: ObjectiveFunction
    law: FittedLaw
    feasible: Feasible
    optimum: Optimum
    draws: Draws | None
    draw_shares: Floats | None
    """(draws, domains)."""

    @property
    def shares(self) -> Floats:
        """(domains,) optimal shares."""
        return self.optimum.shares

    @property
    def predictor(self) -> Predictor:
        """The law as a predictor at this scale."""
        return Predictor(name=self.name, law=self.law, draws=self.draws, run=self.run)

    @property
    def interior(self) -> Bools:
        """(domains,) off the bounds and with a measurable response."""
        bound = self.feasible.binding(self.shares)
        still = {*self.law.no_response(), *self.law.too_noisy()}
        return np.array([d not in bound and d not in still for d in self.runs.domains])


@dataclass(frozen=True, kw_only=True)
class FoundMixture:
    """One mixture of the result."""

    kind: str
    budget: float
    shares: Floats
    interval: Floats | None
    """(2, domains)."""
    average: Floats
    """(domains,) mean of the redrawn optima; the optimum itself without draws."""
    recommended: Floats
    """(domains,) what the advice comes to at this budget."""
    objective: float | None
    """Predicted; None where no law can tell."""
    objective_interval: Floats | None
    """(2,)."""
    predicted_by: str | None
    """The law that predicts the objective here."""
    gains: tuple[GainOver, ...]
    binding: dict[str, str]
    followed: float = 1.0
    """Fraction of a projected trend that the law of all scales supports."""


@dataclass(frozen=True, kw_only=True)
class FoundMixtures:
    """Everything that a fit found."""

    scales: tuple[ScaleFit, ...]
    path: OptimumPath
    """How the optimum moves with the token budget."""
    answers: tuple[FoundMixture, ...]
    current: Floats
    """(domains,) the mixture in use: the one the design starts from, or uniform."""
    advice: Advice
    unanswered: Mapping[int, str]
    """Why there is no mixture, by token budget that the constraints leave none for."""


def name_binding(
    feasible: Feasible, shares: Floats, no_response: Sequence[str], too_noisy: Sequence[str]
) -> dict[str, str]:
    """Name what holds each domain that is held, a missing response before the floor."""
    bound = {
        domain: NO_RESPONSE if reason == "floor" and domain in no_response else reason
        for domain, reason in feasible.binding(shares).items()
    }
    return dict.fromkeys(too_noisy, TOO_NOISY) | bound
