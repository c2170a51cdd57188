"""A power law in effective tokens, over all validation domains with all scales at once.

Each validation loss is `E + (sum_j t_j N_j^g)^(-b)` in the tokens N_j of the training domains:
domain j is worth t_j, repeating more of the same domain is worth less with each token (g < 1), and
the whole follows the usual power law of loss in data. It is convex in the shares: the sum is
concave for g <= 1, and a decreasing convex function of a concave one is convex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import FittedLaw
from mixscale.fit.laws.shared.shrinkage import Units, fit_shrunken, middle_and_spread
from mixscale.fit.laws.shared.smooth import SmoothLaw, smooth_law

# Widths of the prior: worths within a factor e^2 of each other, exponents within e of the centre.
_WORTH_WIDTH, _EXPONENT_WIDTH, _SATURATION_WIDTH = 2.0, 1.0, 0.7
_EXPONENT, _SATURATION = 0.3, 0.8
_FLOOR_BELOW = 5.0  # spreads of the losses below the least one: where the floor is looked for first
_LARGEST_EXPONENT = 650.0
_SMALLEST = 1e-5  # of the unit: a domain without tokens has no logarithm


@dataclass(frozen=True, kw_only=True)
class EffectiveTokens:
    """The family; parameters are E, log b, log g, then log t of every domain."""

    unit: float
    """Tokens that count as 1."""
    convex: bool = True

    @classmethod
    def of(cls, runs: Runs) -> EffectiveTokens:
        """The family with the typical size of some runs as its unit."""
        return cls(unit=float(np.exp(np.log(runs.tokens.sum(-1)).mean())))

    def fit(
        self,
        points: Points,
        losses: Floats,
        weight: Floats,
        start: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """(draws, validation, parameters)."""
        return _fit_rows(_Model(self._x(points)), losses, weight, start, rng)

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(rows, points) losses."""
        return _Model(self._x(points)).values(theta)

    def slopes(self, theta: Floats, point: Points) -> Floats:
        """(rows, domains) derivatives by tokens."""
        x = np.maximum(self._x(point), _SMALLEST)
        b, g = np.exp(theta[:, 1:2]), np.exp(theta[:, 2:3])
        exponent = np.minimum(theta[:, 3:] + g * np.log(x), _LARGEST_EXPONENT)
        part = np.exp(exponent)
        mass = part.sum(-1, keepdims=True)
        return -b * mass ** (-b - 1) * g * part / x / self.unit

    def tangents(self, theta: Floats, points: Points) -> Floats:
        """(rows, points, parameters) derivatives of the predictions by the parameters."""
        return _Model(self._x(points)).jacobian(theta)[1]

    def describe(self, theta: Floats) -> dict[str, Any]:
        """Named parameters of one validation loss."""
        return {
            "unit_tokens": self.unit,
            "E": float(theta[0]),
            "b": float(np.exp(theta[1])),
            "g": float(np.exp(theta[2])),
            "log_t": theta[3:].tolist(),
        }

    def _x(self, points: Points) -> Floats:
        return points.tokens / self.unit


class _Model:
    """Predictions at the runs."""

    def __init__(self, x: Floats) -> None:
        self.x = np.maximum(x, _SMALLEST)
        self.log_x = np.log(self.x)
        domains = x.shape[1]
        self.low = np.concatenate([[-300.0, -5.0, -3.0], np.full(domains, -60.0)])
        self.high = np.concatenate([[300.0, 1.5, 0.0], np.full(domains, 60.0)])
        self.centre = np.zeros(domains + 3)
        self.centre[1:3] = np.log([_EXPONENT, _SATURATION])
        self.penalty = np.zeros((domains + 2, domains + 3))
        self.penalty[0, 1] = 1 / _EXPONENT_WIDTH
        self.penalty[1, 2] = 1 / _SATURATION_WIDTH
        # Worths are drawn to each other, not to a value: their common size is what loss tells.
        self.penalty[2:, 3:] = (np.eye(domains) - 1 / domains) / _WORTH_WIDTH

    def units(self, y: Floats, weight: Floats) -> Units:
        return middle_and_spread(y, weight)

    def into(self, units: Units, theta: Floats) -> Floats:
        return self._moved(theta, (theta[:, 0] - units.shift) / units.size, np.log(units.size))

    def out_of(self, units: Units, theta: Floats) -> Floats:
        return self._moved(theta, theta[:, 0] * units.size + units.shift, -np.log(units.size))

    def _moved(self, theta: Floats, floor: Floats, log_size: Floats) -> Floats:
        """Another floor, with a power that is smaller by a factor."""
        worths = theta[:, 3:] + (log_size * np.exp(-theta[:, 1]))[:, None]
        return np.hstack([floor[:, None], theta[:, 1:3], worths])

    def tightness(self, theta: Floats) -> Floats:
        return np.ones(len(theta))

    def start(self, y: Floats, weight: Floats) -> Floats:
        theta = np.tile(self.centre, (len(y), 1))
        least = np.where(weight > 0, y, np.inf).min(-1)
        mean = (weight * y).sum(-1) / weight.sum(-1)
        theta[:, 0] = least - _FLOOR_BELOW
        # At equal worths the mean run then has the mean loss.
        mass = (self.x**_SATURATION).sum(-1).mean()
        log_mass = -np.log(mean - theta[:, 0]) / _EXPONENT
        theta[:, 3:] = (log_mass - np.log(mass))[:, None]
        return theta

    def values(self, theta: Floats) -> Floats:
        return self._parts(theta)[0]

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        values, part, mass, power = self._parts(theta)
        b, g = np.exp(theta[:, 1:2]), np.exp(theta[:, 2:3])
        slopes = np.empty((*values.shape, theta.shape[1]))
        slopes[:, :, 0] = 1.0
        slopes[:, :, 1] = -b * np.log(mass) * power
        by_mass = -b * power / mass
        slopes[:, :, 2] = by_mass * g * np.einsum("rnd,nd->rn", part, self.log_x)
        np.multiply(part, by_mass[:, :, None], out=slopes[:, :, 3:])
        return values, slopes

    def _parts(self, theta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        g = np.exp(theta[:, 2])[:, None, None]
        # Far outside the fitted runs a worth may leave what a float can hold.
        part = np.exp(np.minimum(g * self.log_x + theta[:, None, 3:], _LARGEST_EXPONENT))
        mass = np.maximum(part.sum(-1), 1e-290)
        power = mass ** -np.exp(theta[:, 1:2])
        return theta[:, :1] + power, part, mass, power


def _fit_rows(
    model: _Model,
    losses: Floats,
    weight: Floats,
    start: Floats | None,
    rng: np.random.Generator | None,
) -> Floats:
    """(draws, validation, parameters), a block of rows at a time to bound memory."""
    draws, runs, validation = losses.shape
    y = losses.transpose(0, 2, 1).reshape(draws * validation, runs)
    by_row = np.repeat(weight, validation, 0)
    flat = None if start is None else start.reshape(draws * validation, -1)
    block = max(1, int(2e7 / (runs * model.x.shape[1])))
    rows = [
        fit_shrunken(
            model,
            y[i : i + block],
            by_row[i : i + block],
            start=None if flat is None else flat[i : i + block],
            rounds=3 if start is None else 2,
            rng=rng,
        )
        for i in range(0, len(y), block)
    ]
    return np.concatenate(rows).reshape(draws, validation, -1)


def load_joint(
    parameters: dict[str, Any], domains: tuple[str, ...], objective: ObjectiveFunction
) -> FittedLaw:
    """Rebuild the law from its parameters."""
    rows = [parameters[name] for name in objective.validation]
    theta = [[r["E"], np.log(r["b"]), np.log(r["g"]), *r["log_t"]] for r in rows]
    return SmoothLaw(
        domains=domains,
        objective=objective,
        family=EffectiveTokens(unit=rows[0]["unit_tokens"]),
        theta=np.array(theta),
        runs=None,
    )


LAW = smooth_law(
    "joint",
    EffectiveTokens.of,
    residuals=EffectiveTokens.of,
    load=load_joint,
    coefficients=lambda runs: len(runs.domains) + 3,
    spans_scales=True,
    summary="a power law in effective tokens, all scales with all validation domains at once",
)
