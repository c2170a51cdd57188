"""Robust fits with a prior that is as strong as the noise asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixscale.fit.arrays import Floats
from mixscale.fit.laws.shared.least_squares import descend

# Huber's constant: a residual counts fully up to this many standard deviations.
_HUBER = 1.9
_FIRST_NOISE = 0.05  # of the spread of the values; replaced by what the first fit leaves over
_REDRAWN_STEPS = 25
_NO_SPREAD = 1e-12  # of the values' size: less is rounding


@dataclass(frozen=True, kw_only=True)
class Units:
    """What values are measured in while they are fitted: `(value - shift) / size`.

    Bounds, starts and first noise then mean the same in nats, bits, or hundredths of either.
    """

    shift: Floats
    """(rows,)."""
    size: Floats
    """(rows,) above 0."""


class Model(Protocol):
    """A family of curves over the runs, with the prior of its parameters.

    All of it is in the `Units` that the model chooses for each row of values.
    """

    @property
    def low(self) -> Floats:
        """(parameters,) lower bounds."""
        ...

    @property
    def high(self) -> Floats:
        """(parameters,) upper bounds."""
        ...

    @property
    def penalty(self) -> Floats:
        """(terms, parameters) prior: each `penalty @ (theta - centre)` is a standard normal."""
        ...

    def centre(self, units: Units) -> Floats:
        """(rows or 1, parameters) middle of the prior."""
        ...

    def units(self, y: Floats, weight: Floats) -> Units:
        """The units to fit each row in."""
        ...

    def into(self, units: Units, theta: Floats) -> Floats:
        """(rows, parameters) in units of the parameters of plain values."""
        ...

    def out_of(self, units: Units, theta: Floats) -> Floats:
        """(rows, parameters) of plain values of the parameters in units."""
        ...

    def tightness(self, theta: Floats) -> Floats:
        """(rows,) factors on the prior's precision, from a fit under it; ones keep it as it is."""
        ...

    def start(self, y: Floats, weight: Floats, centre: Floats) -> Floats:
        """(rows, parameters) where to begin."""
        ...

    def values(self, theta: Floats) -> Floats:
        """(rows, runs) predictions."""
        ...

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        """(rows, runs) predictions with their (rows, runs, parameters) derivatives."""
        ...


def fit_shrunken(
    model: Model,
    y: Floats,
    weight: Floats,
    *,
    start: Floats | None = None,
    rounds: int = 3,
    pull: Floats | None = None,
) -> Floats:
    """Fit every row, re-estimating its noise and its outliers between rounds.

    The prior is in units of the noise: where runs settle a parameter it does nothing, where they
    do not it keeps the parameter near the prior's middle instead of at infinity. Residuals beyond
    `_HUBER` standard deviations count linearly (Huber's loss, by reweighting), the deviation from
    the median absolute residual.

    Args:
        model: The family.
        y: (rows, runs) what to fit.
        weight: (rows, runs) how often each run counts; 0 leaves it out.
        start: (rows, parameters) where to begin.
        rounds: Fits, each with the noise of the one before.
        pull: (rows, terms) where each row's prior is centred, in its deviations, drawn so that
            rows with redrawn noise spread as widely as runs and prior together leave open
            (randomise, then optimise); see `drawn_priors`.

    Returns:
        (rows, parameters).
    """
    units = model.units(y, weight)
    y = (y - units.shift[:, None]) / units.size[:, None]
    centre = np.broadcast_to(model.centre(units), (len(y), model.penalty.shape[1]))
    theta = model.start(y, weight, centre) if start is None else model.into(units, start)
    noise = np.full(len(y), _FIRST_NOISE)
    trust = np.ones_like(y)
    redrawn = pull is not None
    pull = np.zeros((len(y), len(model.penalty))) if pull is None else pull
    tight = np.ones(len(y)) if start is None else model.tightness(theta)
    for k in range(rounds):
        problem = _Shrunken(model, y, weight * trust, noise, tight, pull, centre)
        # The first round's answer is only a place to look at residuals from.
        # Redrawn fits begin next to their end: what is left after some steps is below the noise.
        steps, rest = (_REDRAWN_STEPS, 1e-5) if redrawn else (80, 1e-7)
        theta = descend(problem, theta, model.low, model.high, steps, 1e-3 if k == 0 else rest)
        residual = np.abs(model.values(theta) - y)
        noise = np.maximum(1.25 * 1.4826 * _weighted_median(residual, weight), 1e-7)
        tight = model.tightness(theta)
        trust = np.minimum(1, _HUBER * 0.8 * noise[:, None] / np.maximum(residual, 1e-12))
    return model.out_of(units, theta)


def drawn_priors(
    model: Model, shape: tuple[int, int], rng: np.random.Generator | None, common: int = 0
) -> Floats | None:
    """(rows, terms) standard normal for rows of (draws, validation); None where nothing is drawn.

    Args:
        model: The family.
        shape: Draws and validation losses.
        rng: Of the draws; None for fits that are not drawn.
        common: Terms, the first ones, that all losses of a draw have in common. What holds of
            training, as how soon repeated text stops to count, is wrong of all losses alike: drawn
            for each loss alone it would cancel in their mean.
    """
    if rng is None:
        return None
    pull = rng.normal(size=(*shape, len(model.penalty)))
    pull[:, :, :common] = rng.spawn(1)[0].normal(size=(shape[0], 1, common))
    return pull.reshape(-1, len(model.penalty))


def middle_and_spread(y: Floats, weight: Floats) -> Units:
    """Units of laws with a floor of their own: any shift and any size fit them alike.

    The spread is taken from the median absolute deviation, that one odd run does not move it.
    """
    middle = _weighted_median(y, weight)
    apart = np.abs(y - middle[:, None])
    spread = 1.4826 * _weighted_median(apart, weight)
    # More than half of the runs alike: what the others differ by.
    mean = (weight * apart).sum(-1) / weight.sum(-1)
    spread = np.where(spread > 0.1 * mean, spread, mean)
    size = np.abs(y).max(-1)
    return Units(
        shift=middle, size=np.where(spread > _NO_SPREAD * size, spread, size + (size == 0))
    )


class WithFloor(ABC):
    """The units of a model whose first parameter is a floor under all values."""

    @abstractmethod
    def moved(self, theta: Floats, floor: Floats, log_factor: Floats) -> Floats:
        """(rows, parameters) with (rows,) floors, and what is above them larger by factors."""

    def units(self, y: Floats, weight: Floats) -> Units:
        """The middle and the spread of the values."""
        return middle_and_spread(y, weight)

    def into(self, units: Units, theta: Floats) -> Floats:
        """(rows, parameters) in units of the parameters of plain values."""
        return self.moved(theta, (theta[:, 0] - units.shift) / units.size, -np.log(units.size))

    def out_of(self, units: Units, theta: Floats) -> Floats:
        """(rows, parameters) of plain values of the parameters in units."""
        return self.moved(theta, theta[:, 0] * units.size + units.shift, np.log(units.size))


def typical_size(y: Floats, weight: Floats) -> Units:
    """Units of laws without a floor: a shift is another law, a factor is not."""
    size = _weighted_median(np.abs(y), weight)
    return Units(shift=np.zeros(len(y)), size=np.where(size > 0, size, 1.0))


def _weighted_median(values: Floats, weight: Floats) -> Floats:
    """(rows,) median of (rows, runs) values by weight."""
    order = np.argsort(values, -1)
    sums = np.cumsum(np.take_along_axis(weight, order, -1), -1)
    middle = (sums < 0.5 * sums[:, -1:]).sum(-1, keepdims=True)
    return np.take_along_axis(np.take_along_axis(values, order, -1), middle, -1)[:, 0]


@dataclass(frozen=True)
class _Shrunken:
    """Least-squares problems of one round."""

    model: Model
    y: Floats
    weight: Floats
    noise: Floats
    tight: Floats
    pull: Floats
    """(rows, terms) where each term of the prior is centred."""
    centre: Floats
    """(rows, parameters)."""

    def cost(self, theta: Floats) -> Floats:
        misfit = (self.weight * (self.model.values(theta) - self.y) ** 2).sum(-1)
        prior = (theta - self.centre) @ self.model.penalty.T
        prior = np.sqrt(self.tight)[:, None] * prior - self.pull
        return misfit + self.noise**2 * (prior**2).sum(-1)

    def normal_equations(self, theta: Floats) -> tuple[Floats, Floats]:
        values, slopes = self.model.jacobian(theta)
        weighted = slopes * self.weight[:, :, None]
        precision = self.model.penalty.T @ self.model.penalty
        strength = self.noise**2
        matrix = np.matmul(weighted.transpose(0, 2, 1), slopes)
        matrix = matrix + (strength * self.tight)[:, None, None] * precision
        gradient = np.matmul((values - self.y)[:, None, :], weighted)[:, 0]
        back = (theta - self.centre) @ precision * self.tight[:, None]
        back -= np.sqrt(self.tight)[:, None] * (self.pull @ self.model.penalty)
        return matrix, gradient + strength[:, None] * back

    def rows(self, which: NDArray[np.intp]) -> _Shrunken:
        parts = (self.y[which], self.weight[which], self.noise[which])
        more = (self.tight[which], self.pull[which], self.centre[which])
        return _Shrunken(self.model, *parts, *more)
