"""What a fit is asked, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mixscale.contracts.experiment import DEFAULT_RISK, Constraints
from mixscale.contracts.target import Target, sorted_targets
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.covered import BEYOND_RUNS
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.constraints.near_runs import NearRuns
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws, FittedLaw, Optimum
from mixscale.fit.recommend import Advice
from mixscale.fit.scaling.deciding_scales import DecidingScales
from mixscale.fit.scaling.optimum_path import Moved, OptimumPath
from mixscale.fit.uncertainty.gain import GainOver, Predictor

NO_RESPONSE = "no measurable response"
TOO_NOISY = "too noisy to tell"
_LEAST = ("floor", BEYOND_RUNS)
"""Why a domain cannot get less."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the fit is asked."""

    objective: ObjectiveFunction
    constraints: Constraints
    budgets: tuple[int | Target, ...]
    """Runs to project the mixture to: token budgets, or targets with a size."""
    available: Mapping[str, int] = field(default_factory=dict)
    current: Floats | None = None
    """(domains,) the mixture in use now."""
    risk: float = DEFAULT_RISK
    """Largest chance of a loss with which a change is advised."""
    draws: int = 1000
    """Resamples behind the intervals that are shown; 0 for no intervals at all."""
    seed: int | None = None
    """Of those resamples; that of the advice when absent."""
    advice_seed: int = 0
    """Of the resamples behind the advice. It must rest on the runs alone: the same question about
    the same runs gets the same advice, whatever stands beside it."""
    held: Mapping[str, float] = field(default_factory=dict)
    """Share by domain that no run varies."""
    covered: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Range of shares by domain that the runs cover."""
    near: NearRuns | None = None
    """What counts as near the runs; None for no such limit."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """Increasing, each once."""
        return sorted_targets(self.budgets)


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
    shown: Floats | None = None
    """(draws, domains) optima behind the intervals that are shown, where they are others."""

    @property
    def shares(self) -> Floats:
        """(domains,) optimal shares."""
        return self.optimum.shares

    @cached_property
    def held_back_by(self) -> dict[str, float]:
        """Limits on what results may get worse by that the optimum touches."""
        guard = self.objective.guard
        if guard is None:
            return {}
        return guard.within(self.feasible).binding(self.predictor.predict_losses, self.shares)

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
    advice: Advice
    """For a run of this budget."""
    objective: float | None
    """Predicted; None where no law can tell."""
    objective_interval: Floats | None
    """(2,)."""
    predicted_by: str | None
    """The law that predicts the objective here."""
    gains: tuple[GainOver, ...]
    binding: dict[str, str]
    recommended_gain: GainOver
    """Of the recommended mixture over the one in use, predicted at `advice.decided_at`."""
    followed: float = 1.0
    """Fraction of a projected trend that the law of all scales supports."""
    parameters: float | None = None
    """Of the model of the run; None where no size is known."""
    size_given: bool = True
    """Whether that is what was asked for, and not the size of the largest runs."""
    moved: Moved | None = None
    """How far the optimum moves from that of the largest measured scale."""
    saved: Floats | None = None
    """(3,) part of the tokens that the recommended mixture saves: expected, and a 90 % interval;
    (1,) without an interval; None where no law tells."""

    @property
    def at_edge_of_runs(self) -> list[str]:
        """Domains that get as much, or as little, as is looked for around the runs."""
        return [domain for domain, why in self.binding.items() if why == BEYOND_RUNS]


@dataclass(frozen=True, kw_only=True)
class FoundMixtures:
    """Everything that a fit found."""

    scales: tuple[ScaleFit, ...]
    """Those that answers are taken from."""
    deciding: DecidingScales
    path: OptimumPath
    """How the optimum moves with the token budget."""
    answers: tuple[FoundMixture, ...]
    current: Floats
    """(domains,) the mixture in use: the one the design starts from, or uniform."""
    several_sizes: bool
    """Whether the law is fitted to models of several sizes."""
    unanswered: Mapping[int, str]
    """Why there is no mixture, by token budget that the constraints leave none for."""
    suspects: tuple[str, ...] = ()
    """Runs that were left out before any law was fitted, as no law can have come by them."""

    @property
    def suspect_runs(self) -> tuple[str, ...]:
        """Those, and the ones that laws left out themselves; each once."""
        by_laws = (name for fit in self.scales for name in getattr(fit.law, "suspects", ()))
        return tuple(dict.fromkeys((*self.suspects, *by_laws)))

    @property
    def measured(self) -> FoundMixture:
        """The answer of the largest scale that decides."""
        return self.answers[len(self.scales) - 1]

    @property
    def advised(self) -> FoundMixture:
        """The answer for the largest token budget that was asked for, or else measured."""
        asked = [answer for answer in self.answers if answer.kind == "projected"]
        return max(asked, key=lambda answer: answer.budget) if asked else self.measured

    @property
    def advice(self) -> Advice:
        """For that budget."""
        return self.advised.advice

    @property
    def more_than_runs(self) -> list[str]:
        """Domains of which the best mixture has as much as is looked for, and more than any run."""
        answer, runs = self.advised, self.scales[-1].runs
        most = runs.shares.max(0)
        return [
            domain
            for i, domain in enumerate(runs.domains)
            if domain in answer.at_edge_of_runs and answer.shares[i] > most[i]
        ]


def name_binding(
    feasible: Feasible, shares: Floats, no_response: Sequence[str], too_noisy: Sequence[str]
) -> dict[str, str]:
    """Name what holds each domain that is held, a missing response before what sets its least."""
    bound = {
        domain: NO_RESPONSE if reason in _LEAST and domain in no_response else reason
        for domain, reason in feasible.binding(shares).items()
    }
    return dict.fromkeys(too_noisy, TOO_NOISY) | bound
