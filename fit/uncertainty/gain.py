"""How much lower the objective gets than with other mixtures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.laws.base import Draws, FittedLaw
from mixscale.fit.uncertainty.intervals import chance_of_sign, normal_mixture_interval
from mixscale.fit.uncertainty.model_error import DrawsWithError


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A law that predicts the objective of one planned run, with what its noise leaves open."""

    name: str
    law: FittedLaw
    draws: Draws | None
    run: PlannedRun

    def predict(self, shares: Floats) -> Floats:
        """(points,) objective of (points, domains) shares."""
        return self.law.predict_objective(self.run.with_shares(shares))

    def predict_losses(self, shares: Floats) -> Floats:
        """(points, validation) losses of (points, domains) shares."""
        return self.law.predict_losses(self.run.with_shares(shares))

    def predict_drawn(self, shares: Floats) -> Floats | None:
        """(draws,) objective of (draws or 1, domains) shares, each under its own draw."""
        if self.draws is None:
            return None
        return self.draws.predict_objective(self.run.with_shares(shares))

    def saved_drawn(self, other: Floats, shares: Floats) -> tuple[Floats, Floats] | None:
        """(draws,) what (domains,) `shares` save against `other`: mean and deviation by draw."""
        if self.draws is None:
            return None
        before, after = self.run.with_shares(other[None]), self.run.with_shares(shares[None])
        if isinstance(self.draws, DrawsWithError):
            return self.draws.difference(before, after)
        saved = self.draws.predict_objective(before) - self.draws.predict_objective(after)
        return saved, np.zeros(len(saved))

    def predict_refitted(self, shares: Floats) -> Floats | None:
        """(draws,) the same without the law's own error, which no redrawn experiment would see."""
        draws = self.draws.draws if isinstance(self.draws, DrawsWithError) else self.draws
        return None if draws is None else draws.predict_objective(self.run.with_shares(shares))


@dataclass(frozen=True, kw_only=True)
class GainOver:
    """The objective saved by a mixture against another one."""

    over: str
    shares: Floats
    """(domains,) of the other mixture."""
    gain: float
    interval: Floats | None
    """(2,)."""
    harm: float | None = None
    """Chance that it is a loss; None where the noise is unknown."""
    harm_error: float = 0.0
    """Standard error of that chance, for this number of resamples."""


def gain_over(
    predictor: Predictor, shares: Floats, over: str, other: Floats, optimism: float = 0.0
) -> GainOver:
    """Predict what `shares` save against `other`, less the optimism of how they were chosen."""
    both = predictor.predict(np.stack([other, shares]))
    gain = float(both[0] - both[1]) - optimism
    drawn = predictor.saved_drawn(other, shares)
    if drawn is None:
        return GainOver(over=over, shares=other, gain=gain, interval=None)
    means, deviations = drawn[0] - optimism, drawn[1]
    low, high = normal_mixture_interval(means, deviations)
    harm, error = chance_of_sign(means, deviations)
    return GainOver(
        over=over,
        shares=other,
        gain=gain,
        # Far from the runs draws may lie to one side of the law that they are draws of.
        interval=np.array([min(low, gain), max(high, gain)]),
        harm=harm,
        harm_error=error,
    )


def optimism(predictor: Predictor, drawn_optima: Floats | None, current: Floats) -> float:
    """What choosing a mixture by noisy runs adds to its predicted gain, on average.

    An optimum is chosen where noise lowers the prediction, so its predicted gain is too good. By
    how much is seen on redrawn experiments, whose truth is the fitted law: the gain that each
    promises for its own optimum, less the gain of that optimum under the truth (Efron's bootstrap
    estimate of optimism).

    Args:
        predictor: The law that the mixture was chosen by.
        drawn_optima: (draws, domains) optimal shares of the redrawn experiments.
        current: (domains,) the mixture that gains are over.
    """
    before = predictor.predict_refitted(current[None])
    promised = None if drawn_optima is None else predictor.predict_refitted(drawn_optima)
    if before is None or promised is None or drawn_optima is None:
        return 0.0
    truth = predictor.predict(current[None])[0] - predictor.predict(drawn_optima)
    return max(float((before - promised - truth).mean()), 0.0)
