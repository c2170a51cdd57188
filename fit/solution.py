"""What a fit is asked, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mixscale.contracts.experiment import Constraints
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import Target
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws, FittedLaw, Optimum
from mixscale.fit.recommend import Advice
from mixscale.fit.scaling.projection import Measured
from mixscale.fit.uncertainty.gain import GainOver, Judge

SILENT = "no measurable response"
UNCLEAR = "too noisy to tell"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the fit is asked."""

    target: Target
    constraints: Constraints
    budgets: tuple[int, ...]
    """Token budgets to carry the mixture to."""
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
    runs: Runs
    target: Target
    law: FittedLaw
    feasible: Feasible
    optimum: Optimum
    draws: Draws | None
    draw_shares: Floats | None
    """(draws, domains)."""

    @property
    def shares(self) -> Floats:
        """(domains,) optimal shares."""
        return self.optimum.tokens / self.optimum.tokens.sum()

    @property
    def judge(self) -> Judge:
        """The law as a predictor at this scale."""
        return Judge(name=self.name, law=self.law, draws=self.draws, budget=self.scale)

    @property
    def free(self) -> Bools:
        """(domains,) off the bounds and with a measurable response."""
        bound = self.feasible.binding(self.shares)
        still = {*self.law.silent(), *self.law.unclear()}
        return np.array([d not in bound and d not in still for d in self.runs.domains])


@dataclass(frozen=True, kw_only=True)
class Answer:
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
    judge: str | None
    """The law that predicts the objective here."""
    gains: tuple[GainOver, ...]
    binding: dict[str, str]
    follows: float = 1.0
    """Part of a projected trend that the law of all scales bears out."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Everything that a fit found."""

    scales: tuple[ScaleFit, ...]
    measured: Measured
    spans_scales: bool
    """Whether one law holds at every budget, so that nothing had to be projected."""
    answers: tuple[Answer, ...]
    far: Judge | None
    """What predicts the objective at budgets that were not measured."""
    current: Floats
    """(domains,) the mixture in use: the one the design starts from, or uniform."""
    advice: Advice
    warnings: tuple[str, ...]


def name_binding(
    feasible: Feasible, shares: Floats, silent: Sequence[str], unclear: Sequence[str]
) -> dict[str, str]:
    """Name what holds each domain that is held, silence before the floor."""
    bound = {
        domain: SILENT if reason == "floor" and domain in silent else reason
        for domain, reason in feasible.binding(shares).items()
    }
    return dict.fromkeys(unclear, UNCLEAR) | bound
