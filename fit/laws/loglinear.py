"""Data Mixing Laws: `c + exp(t . w)` in the shares w (arXiv 2403.16952, eq. 6).

The paper's factor k is part of t here, since the shares sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import Points
from mixscale.fit.laws.shared.shares import Inputs, inputs_for
from mixscale.fit.laws.shared.shrinkage import Units, WithFloor, drawn_priors, fit_shrunken
from mixscale.fit.laws.shared.smooth import smooth_law

# Width of the prior on how much the exponents of two domains differ.
_WIDTH = 4.0
_RUNS_A_COLUMN = 3
"""Runs for each column from which the width itself can be told from them."""
_FLOOR_BELOW = 2.0  # spreads of the losses below the least one: where the floor is looked for first


@dataclass(frozen=True, kw_only=True)
class Exponential:
    """The family; parameters are c, then t."""

    inputs: Inputs
    convex: bool = True

    def fit(
        self,
        points: Points,
        losses: Floats,
        weight: Floats,
        start: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """(draws, validation, parameters)."""
        draws, runs, validation = losses.shape
        model = _Model(self.inputs(points), points.tokens.shape[1])
        theta = fit_shrunken(
            model,
            losses.transpose(0, 2, 1).reshape(draws * validation, runs),
            np.repeat(weight, validation, 0),
            start=None if start is None else start.reshape(draws * validation, -1),
            rounds=5 if start is None else 3,
            pull=drawn_priors(model, (draws, validation), rng),
        )
        return theta.reshape(draws, validation, -1)

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(rows, points) losses."""
        return theta[:, :1] + np.exp(theta[:, 1:] @ self.inputs(points).T)

    def slopes(self, theta: Floats, point: Points) -> Floats:
        """(rows, domains) derivatives by tokens."""
        power = np.exp(theta[:, 1:] @ self.inputs(point).T)
        return self.inputs.chain(power * theta[:, 1:], point)

    def describe(self, theta: Floats) -> dict[str, Any]:
        """Named parameters of one validation loss."""
        return {"c": float(theta[0]), "t": theta[1:].tolist()}


class _Model(WithFloor):
    """Predictions at the runs."""

    def __init__(self, x: Floats, domains: int) -> None:
        self.x = x
        columns = x.shape[1]
        self.low, self.high = np.full(columns + 1, -300.0), np.full(columns + 1, 300.0)
        self.domains = domains
        self.penalty = np.zeros((domains, columns + 1))
        self.penalty[:, 1 : domains + 1] = (np.eye(domains) - 1 / domains) / _WIDTH

    def moved(self, theta: Floats, floor: Floats, log_factor: Floats) -> Floats:
        """Another floor, with a power that is larger by a factor: the shares sum to 1."""
        moved = theta.copy()
        moved[:, 0] = floor
        moved[:, 1 : self.domains + 1] += log_factor[:, None]
        return moved

    def tightness(self, theta: Floats) -> Floats:
        # A fit that strains the prior shows that the exponents differ by more than it expects: its
        # strength is that of the misfit, which a law this plain has however many runs there are.
        if len(self.x) < _RUNS_A_COLUMN * self.x.shape[1]:
            return np.ones(len(theta))
        strain = ((theta @ self.penalty.T) ** 2).sum(-1)
        return np.minimum(1.0, len(self.penalty) / np.maximum(strain, 1e-300))

    def centre(self, units: Units) -> Floats:
        return np.zeros((1, len(self.low)))

    def start(self, y: Floats, weight: Floats, centre: Floats) -> Floats:
        least = np.where(weight > 0, y, np.inf).min(-1, keepdims=True)
        logs = np.log(np.maximum(y - least + _FLOOR_BELOW, 1e-3))
        t = np.linalg.lstsq(self.x, logs.T, rcond=None)[0].T
        return np.hstack([least - _FLOOR_BELOW, t])

    def values(self, theta: Floats) -> Floats:
        return theta[:, :1] + np.exp(np.minimum(theta[:, 1:] @ self.x.T, 50))

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        power = np.exp(np.minimum(theta[:, 1:] @ self.x.T, 50))
        slopes = np.empty((*power.shape, theta.shape[1]))
        slopes[:, :, 0] = 1
        slopes[:, :, 1:] = power[:, :, None] * self.x
        return theta[:, :1] + power, slopes


LAW = smooth_law(
    "loglinear",
    lambda runs: Exponential(inputs=inputs_for(runs)),
    spans_scales=False,
    coefficients=lambda runs: 1 + inputs_for(runs).count(runs),
    summary="c + exp(t . shares) for each validation loss (Data Mixing Laws)",
)
