"""Best mixtures of parts of the runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.contracts.experiment import Constraints, Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.find_mixtures import find_mixtures
from mixscale.fit.found_mixtures import FoundMixtures, Question
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.mixing_law import choose

CONSTRAINTS = Constraints(floor=0.01)
DRAWS = 400
ROUNDING = 5e-4
"""Runs end with whole samples, so shares differ that much by rounding alone."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best mixture at one token budget."""

    shares: Floats
    """(domains,)"""
    interval: Floats
    """(2, domains), 90 %."""

    def holds(self, shares: Floats) -> int:
        """Count the domains whose share lies in the interval."""
        low, high = self.interval
        return int(((shares >= low - ROUNDING) & (shares <= high + ROUNDING)).sum())


def solved(runs: Runs, law: str, *budgets: int, draws: int = DRAWS) -> FoundMixtures:
    """Fit a law to runs and find the best mixture at their scales and at other budgets."""
    chosen = choose(runs, law, Objective())
    question = Question(
        objective=chosen.objective, constraints=CONSTRAINTS, budgets=budgets, draws=draws, seed=1
    )
    return find_mixtures(runs, chosen.law, chosen.noise, question)


def best(solution: FoundMixtures, budget: float) -> Best:
    """The answer at a budget, within half a percent: runs end with whole samples."""
    answer = min(solution.answers, key=lambda answer: abs(np.log(answer.budget / budget)))
    assert abs(answer.budget / budget - 1) < 0.005
    assert answer.interval is not None
    return Best(shares=answer.shares, interval=answer.interval)


def distance(one: Floats, other: Floats) -> float:
    """Total variation: the share of the tokens in which two mixtures differ."""
    return float(np.abs(one - other).sum() / 2)
