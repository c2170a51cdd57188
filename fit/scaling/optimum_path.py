"""How the best mixture moves with the token budget: the one projection of fresh and stored fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.scaling.projection import MeasuredOptima, project_shares, trend_kept
from mixscale.fit.scaling.supported_trend import supported_fraction
from mixscale.fit.uncertainty.gain import Predictor

_SAME = 1e-4
"""Optima that differ by less are one but for what the solver leaves over."""
_SMALLEST = 1e-6


@dataclass(frozen=True, kw_only=True)
class OptimumAt:
    """The optimum of one planned run."""

    shares: Floats
    """(domains,)."""
    followed: float = 1.0
    """Fraction of the projected trend that the law of all scales supports."""
    factors: Floats | None = None
    """(domains,) what repeats and size multiply the shares by, before they are put into bounds."""
    measured_factors: Floats | None = None
    """(scales, domains) what repeats did to the measured optima; None where none repeated."""
    moved: Moved | None = None
    """How far from the optimum of the largest measured scale."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Parts of the tokens that go to other domains than at the largest measured scale, 0 to 1."""

    by_tokens: float
    """As the trend over the measured scales goes on, and to hold the constraints there."""
    by_repeats: float
    """Since domains run out of text that was not read before."""
    by_size: float
    """Since the model has another size."""


@dataclass(frozen=True, kw_only=True)
class OptimumPath:
    """The optimum as a function of the planned run."""

    measured: MeasuredOptima
    predictor: Predictor | None
    """A law that predicts the objective at every token budget; None where no law can."""
    repeats: Predictor | None = None
    """The law of the largest measured scale, for a run of it: where none predicts the objective,
    its form says all the same what repeated tokens are worth beside new ones."""

    def predictor_for(self, run: PlannedRun) -> Predictor | None:
        """What predicts the objective of a planned run."""
        return None if self.predictor is None else replace(self.predictor, run=run)

    def at(self, run: PlannedRun, feasible: Feasible) -> OptimumAt:
        """Find the optimum of a planned run.

        The trend of the measured optima, as far as it exceeds their noise, is followed as far as a
        law fitted to all scales supports it, for the run itself with its repeats and size. A law of
        all scales is not asked itself: its form then moves the shares whatever the runs say, which
        on published tables lost more than holding the shares (`docs/validation/laws.md`). What it
        is asked is how repeated tokens, or another size, change its own optimum: the shares change
        by the same factors.
        """
        there = self._repeats_measured(run, feasible)
        # As if no text were read again, at the measured scales and at the run.
        measured = replace(self.measured, shares=_without(self.measured.shares, there))
        projected = project_shares(measured, measured.shares, run.token_budget, feasible)
        largest = measured.shares[-1]
        size = self._of_size(run, feasible)
        repeats = self._of_repeats(run, feasible, projected)

        def finish(on_the_way: Floats) -> Floats:
            return _multiplied(_multiplied(on_the_way, size, feasible), repeats, feasible)

        shares, followed = projected, 1.0
        predictor = self.predictor_for(run)
        beyond = run.token_budget > measured.totals[-1] and trend_kept(measured) > 0
        if predictor is not None and beyond:
            held = scale_into_bounds(largest, feasible)
            followed = supported_fraction(predictor, held, projected, finish)
            shares = _towards(held, projected, followed)
        sized = _multiplied(shares, size, feasible)
        both = finish(shares)
        as_measured = _multiplied(sized, None if there is None else there[-1], feasible)
        factors = [part for part in (size, repeats) if part is not None]
        return OptimumAt(
            shares=both,
            followed=followed,
            factors=np.prod(factors, axis=0) if factors else None,
            measured_factors=there,
            moved=Moved(
                by_tokens=_distance(shares, largest),
                by_repeats=_distance(both, as_measured),
                by_size=_distance(sized, shares),
            ),
        )

    def _repeats_measured(self, run: PlannedRun, feasible: Feasible) -> Floats | None:
        """(scales, domains) what repeats did to the measured optima; None where none repeated."""
        measured = self.measured
        factors = []
        for number, total in enumerate(measured.totals.tolist()):
            there = replace(run, token_budget=total, parameters=self._largest)
            if measured.unique_tokens is not None:
                there = replace(there, unique_tokens=measured.unique_tokens[number])
            factors.append(self._of_repeats(there, feasible, measured.shares[number]))
        if all(part is None for part in factors):
            return None
        plain = np.ones(measured.shares.shape[1])
        return np.stack([plain if part is None else part for part in factors])

    def _of_repeats(self, run: PlannedRun, feasible: Feasible, shares: Floats) -> Floats | None:
        """(domains,) what repeats change in the optimum of a run with some shares."""
        unique = run.unique_tokens
        if unique is None or not (shares * run.token_budget > unique).any():
            return None
        return self._change(replace(run, unique_tokens=None), run, feasible)

    def _of_size(self, run: PlannedRun, feasible: Feasible) -> Floats | None:
        """(domains,) what the size of the model changes in the optimum of a run."""
        if run.parameters is None or self._largest in (None, run.parameters):
            return None
        plain = replace(run, unique_tokens=None)
        return self._change(replace(plain, parameters=self._largest), plain, feasible)

    def _change(self, before: PlannedRun, after: PlannedRun, feasible: Feasible) -> Floats | None:
        """(domains,) factors between the optima that a law finds by itself for two runs.

        What it says of tokens, which its form says whatever the runs show, does not enter.
        """
        predictor = self.predictor or self.repeats
        if predictor is None:
            return None
        first = predictor.law.optimum(feasible, before).shares
        second = predictor.law.optimum(feasible, after).shares
        if _distance(first, second) < _SAME:
            return None
        return np.maximum(second, _SMALLEST) / np.maximum(first, _SMALLEST)

    @property
    def _largest(self) -> float | None:
        """Parameters of the model of the measured optima."""
        predictor = self.predictor or self.repeats
        return None if predictor is None else predictor.run.parameters

    def drawn_at(
        self, run: PlannedRun, feasible: Feasible, draw_shares: Floats, found: OptimumAt
    ) -> Floats:
        """(draws, domains) the same for redrawn optima.

        Args:
            run: The planned run.
            feasible: The allowed mixtures.
            draw_shares: (draws, scales, domains) optimal shares of redrawn experiments.
            found: What `at` found.
        """
        draw_shares = _without(draw_shares, found.measured_factors)
        drawn = project_shares(self.measured, draw_shares, run.token_budget, feasible)
        if found.followed != 1.0:
            held = scale_into_bounds(draw_shares[:, -1], feasible)
            drawn = _towards(held, drawn, found.followed)
        return _multiplied(drawn, found.factors, feasible)


def _without(shares: Floats, factors: Floats | None) -> Floats:
    """(..., domains) shares before something multiplied them."""
    if factors is None:
        return shares
    moved = shares / factors
    return moved / moved.sum(-1, keepdims=True)


def _multiplied(shares: Floats, factors: Floats | None, feasible: Feasible) -> Floats:
    """(..., domains) allowed shares in other proportions."""
    if factors is None:
        return shares
    moved = shares * factors
    return scale_into_bounds(moved / moved.sum(-1, keepdims=True), feasible)


def _distance(one: Floats, other: Floats) -> float:
    """Part of the tokens in which two mixtures differ."""
    return float(np.abs(one - other).sum() / 2)


def _towards(start: Floats, end: Floats, part: float) -> Floats:
    """(..., domains) a part of the way; a domain without a share at both ends has none."""
    return np.maximum(start + part * (end - start), 0.0)
