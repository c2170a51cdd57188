"""The scale that a result is fitted on, and the way back to its own unit.

Laws see numbers of which less is better and that have no upper end. Losses and bits per byte are
such numbers; a perplexity is one as its logarithm. A result between two bounds, as an accuracy, is
fitted as the log of its odds against: on synthetic runs whose accuracy saturates that predicts
left-out mixtures best (`python -m benchmarks.accuracy`), and nothing that comes back from it leaves
the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.contracts.fit_record import ReadResult, TaskCurve
from mixscale.fit.arrays import Floats

_LARGEST_LOG_ODDS = 500.0
_LARGEST_LOG = 200.0
"""exp(200) can still be squared."""
_CLOSEST, _FURTHEST = 1e-6, 0.01
"""How near to a bound a value that lies on it is taken to be, as part of the width."""


@dataclass(frozen=True, kw_only=True)
class ResultScale:
    """One result's unit, direction and bounds, and how it is fitted."""

    higher_is_better: bool = False
    bounds: tuple[float, float] | None = None
    logarithm: bool = False
    """Whether it is fitted as its logarithm."""
    curve: TaskCurve | None = None
    """Where it is fitted by the loss of its task, what that loss comes to."""

    @property
    def top(self) -> float:
        """The value that costs nothing, where higher is better."""
        return 0.0 if self.bounds is None else self.bounds[1]

    @property
    def convex(self) -> bool:
        """Whether the cost is convex in what laws see."""
        return self.bounds is None

    def fitted(self, values: Floats) -> Floats:
        """What laws see of measured values."""
        if self.bounds is None:
            values = np.log(values) if self.logarithm else values
            return -values if self.higher_is_better else values
        low, high = self.bounds
        part = (values - low) / (high - low)
        good = part if self.higher_is_better else 1 - part
        inside = good[(good > 0) & (good < 1)]
        nearest = np.minimum(inside, 1 - inside).min(initial=2 * _FURTHEST)
        edge = float(np.clip(nearest / 2, _CLOSEST, _FURTHEST))
        good = np.where(np.isfinite(good), np.clip(good, edge, 1 - edge), np.nan)
        return np.log((1 - good) / good)

    def measured(self, fitted: Floats) -> Floats:
        """Values in the result's own unit of what laws predict."""
        if self.bounds is None:
            value = np.exp(np.minimum(fitted, _LARGEST_LOG)) if self.logarithm else fitted
            return -value if self.higher_is_better else value
        low, high = self.bounds
        good = self._good(fitted)
        return low + (high - low) * (good if self.higher_is_better else 1 - good)

    def slope(self, fitted: Floats) -> Floats:
        """Derivative of `measured`."""
        if self.bounds is None:
            slope = np.exp(np.minimum(fitted, _LARGEST_LOG)) if self.logarithm else 1.0
            return np.broadcast_to(-slope if self.higher_is_better else slope, fitted.shape)
        low, high = self.bounds
        sign = -1.0 if self.higher_is_better else 1.0
        return sign * (high - low) * self._good_slope(fitted)

    def cost(self, fitted: Floats) -> Floats:
        """The value with the sign that less is better; from 0 on where the best value is known."""
        value = self.measured(fitted)
        return self.top - value if self.higher_is_better else value

    def cost_slope(self, fitted: Floats) -> Floats:
        """Derivative of `cost`."""
        slope = self.slope(fitted)
        return -slope if self.higher_is_better else slope

    def _good(self, fitted: Floats) -> Floats:
        """0 to 1, 1 the best."""
        if self.curve is None:
            return _sigmoid(-fitted)
        chance, top = self.curve.low, self.curve.high
        return chance + (top - chance) * _sigmoid(self.curve.slope * (self.curve.middle - fitted))

    def _good_slope(self, fitted: Floats) -> Floats:
        """Minus the derivative of `_good`."""
        if self.curve is None:
            part = _sigmoid(-fitted)
            return part * (1 - part)
        part = _sigmoid(self.curve.slope * (self.curve.middle - fitted))
        return (self.curve.high - self.curve.low) * self.curve.slope * part * (1 - part)


PLAIN = ResultScale()
"""A loss, fitted as it is."""


def scale_of(result: ReadResult) -> ResultScale:
    """The scale of a column of results."""
    bounds = None
    if result.low is not None and result.high is not None:
        bounds = (result.low, result.high)
    return ResultScale(
        higher_is_better=result.higher_is_better,
        bounds=bounds,
        logarithm=result.metric == "perplexity",
        curve=result.curve,
    )


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(x, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)))
