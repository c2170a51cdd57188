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


@dataclass(frozen=True, kw_only=True)
class OptimumAt:
    """The optimum of one planned run."""

    shares: Floats
    """(domains,)."""
    followed: float = 1.0
    """Fraction of the projected trend that the law of all scales supports."""


@dataclass(frozen=True, kw_only=True)
class OptimumPath:
    """The optimum as a function of the planned run."""

    measured: MeasuredOptima
    predictor: Predictor | None
    """A law that predicts the objective at every token budget; None where no law can."""

    def predictor_for(self, run: PlannedRun) -> Predictor | None:
        """What predicts the objective of a planned run."""
        return None if self.predictor is None else replace(self.predictor, run=run)

    def at(self, run: PlannedRun, feasible: Feasible) -> OptimumAt:
        """Find the optimum of a planned run.

        The trend of the measured optima, as far as it exceeds their noise, is followed as far as a
        law fitted to all scales supports it. A law of all scales is not asked itself: its form
        then moves the shares whatever the runs say, which on published tables lost more than
        holding the shares (`docs/fit.md`).
        """
        predictor = self.predictor_for(run)
        measured = self.measured
        projected = project_shares(measured, measured.shares, run.token_budget, feasible)
        beyond = run.token_budget > measured.totals[-1] and trend_kept(measured) > 0
        if predictor is None or not beyond:
            return OptimumAt(shares=projected)
        held = scale_into_bounds(measured.shares[-1], feasible)
        followed = supported_fraction(predictor, held, projected)
        return OptimumAt(shares=_towards(held, projected, followed), followed=followed)

    def drawn_at(
        self, run: PlannedRun, feasible: Feasible, draw_shares: Floats, followed: float
    ) -> Floats:
        """(draws, domains) the same for redrawn optima.

        Args:
            run: The planned run.
            feasible: The allowed mixtures.
            draw_shares: (draws, scales, domains) optimal shares of redrawn experiments.
            followed: What `at` found.
        """
        drawn = project_shares(self.measured, draw_shares, run.token_budget, feasible)
        if followed == 1.0:
            return drawn
        held = scale_into_bounds(draw_shares[:, -1], feasible)
        return _towards(held, drawn, followed)


def _towards(start: Floats, end: Floats, part: float) -> Floats:
    """(..., domains) a part of the way; a domain without a share at both ends has none."""
    return np.maximum(start + part * (end - start), 0.0)
