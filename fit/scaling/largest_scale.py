"""A law of all scales, moved to what the runs of the largest one say of mixtures.

A law of all scales has one form for short and long runs. Where that form is wrong it is wrong of
the longest runs too, though these tell most of a run that is longer still. So what a law fitted to
the largest scale alone says otherwise is added, for the same shares, whatever the budget: the
additive discrepancy between a coarse and a fine model (Kennedy and O'Hagan, Biometrika 87(1),
2000). Few runs of one scale are noisy, so it is added as far as left-out mixtures support it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws, FittedLaw, Law, Optimum
from mixscale.fit.laws.selection import held_out_objective
from mixscale.fit.uncertainty.model_error import DrawsWithError
from mixscale.fit.uncertainty.noise import Noise

Predict = Callable[[Points], Floats]
_FOLDS = 12
"""Groups of mixtures that are left out together: one number is asked of them."""


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """What the runs of the largest scale say of mixtures beyond a law of all scales."""

    law: FittedLaw
    """Fitted to these runs alone."""
    run: PlannedRun
    """A run of that scale, with the text and the model that its runs had."""
    part: float
    """How much of it is believed, 0 to 1."""

    def added(self, points: Points, there: Predict, whole: Predict) -> Floats:
        """What is added for the shares of some points: the believed part of how one prediction
        differs from the other at the largest scale."""
        at_scale = self.run.with_shares(points.shares)
        return self.part * (there(at_scale) - whole(at_scale))


@runtime_checkable
class _KnowsWhatItMissed(Protocol):
    @property
    def missed(self) -> Floats | None:
        """(runs,) measured objective less that of a fit without the run's mixture."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A law fitted to runs."""

    law: Law
    fitted: FittedLaw
    runs: Runs
    objective: ObjectiveFunction
    noise: Noise

    @property
    def missed(self) -> Floats:
        """(runs,) measured objective less that of a fit without the run's mixture; nan where none
        was left out."""
        found = self.fitted.missed if isinstance(self.fitted, _KnowsWhatItMissed) else None
        if found is not None:
            return found
        measured = self.objective.value(self.runs.losses)
        arguments = (self.law, self.runs, self.objective, self.noise)
        return measured - held_out_objective(*arguments, most=_FOLDS)


@dataclass(frozen=True, kw_only=True)
class MovedLaw:
    """A law of all scales with a discrepancy."""

    whole: FittedLaw
    beside: Discrepancy

    def predict_losses(self, points: Points) -> Floats:
        """(points, validation) losses in nats."""
        whole, there = self.whole.predict_losses, self.beside.law.predict_losses
        return whole(points) + self.beside.added(points, there, whole)

    def predict_objective(self, points: Points) -> Floats:
        """(points,) objective."""
        whole, there = self.whole.predict_objective, self.beside.law.predict_objective
        return whole(points) + self.beside.added(points, there, whole)

    def optimum(self, feasible: Feasible, run: PlannedRun) -> Optimum:
        """That of the law of all scales: what it is asked for is how repeats and size change it."""
        return self.whole.optimum(feasible, run)

    def draws(self, rng: np.random.Generator, count: int) -> Draws | None:
        """Refits of both, each independent of the other's."""
        of_whole, of_other = rng.spawn(2)
        whole = self.whole.draws(of_whole, count)
        other = self.beside.law.draws(of_other, count)
        return None if whole is None or other is None else self.joined(whole, other)

    def joined(self, whole: Draws, other: Draws) -> Draws:
        """As many draws of the law of all scales and of that of the largest, with the first's own
        error: beyond the runs it is the wider."""
        moved = _MovedDraws(
            whole=whole.draws if isinstance(whole, DrawsWithError) else whole,
            other=other.draws if isinstance(other, DrawsWithError) else other,
            beside=self.beside,
        )
        return replace(whole, draws=moved) if isinstance(whole, DrawsWithError) else moved

    def no_response(self) -> tuple[str, ...]:
        """Domains whose tokens do not measurably change the objective."""
        return self.whole.no_response()

    def too_noisy(self) -> tuple[str, ...]:
        """Domains whose response the noise hides."""
        return self.whole.too_noisy()

    def parameters(self) -> dict[str, Any]:
        """Those of the law of all scales; the discrepancy is stored beside them."""
        return self.whole.parameters()


@dataclass(frozen=True, kw_only=True)
class _MovedDraws:
    whole: Draws
    other: Draws
    beside: Discrepancy

    def optima(self, feasible: Feasible, run: PlannedRun) -> Floats:
        return self.whole.optima(feasible, run)

    def predict_objective(self, points: Points) -> Floats:
        whole, there = self.whole.predict_objective, self.other.predict_objective
        return whole(points) + self.beside.added(points, there, whole)


def supported_part(whole: Fit, there: Fit, scale: float) -> float:
    """How much of the discrepancy at the largest scale left-out mixtures support, 0 to 1.

    It is the part with which the two laws together miss the differences between left-out mixtures
    of that scale least, in squares.

    Args:
        whole: Of all scales.
        there: Of the largest that decides, for the largest models.
        scale: That scale.
    """
    shared = whole.runs.is_largest_size & (whole.runs.scale == scale)
    of_whole, of_there = whole.missed[shared], there.missed
    known = np.isfinite(of_whole) & np.isfinite(of_there)
    if known.sum() < 3:
        return 0.0
    missed, moved = (
        values - values.mean() for values in (of_whole[known], (of_whole - of_there)[known])
    )
    size = float(moved @ moved)
    return float(np.clip(moved @ missed / size, 0.0, 1.0)) if size > 0 else 0.0
