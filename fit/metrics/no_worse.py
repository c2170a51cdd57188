"""Results that may not get worse than with the mixture in use by more than was allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import ReadResult
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.metrics.scale import PLAIN, ResultScale, scale_of
from mixscale.fit.metrics.weights import matches
from mixscale.fit.optimize.nearest import scale_into_bounds

_HALVINGS = 40
_ROUNDING = 1e-9
_SHOWN = 0.02
"""Part of a limit within which a result counts as held by it."""


_STEEP = 100.0
"""Objectives that going beyond a limit by all of it costs."""
Predict = Callable[[Floats], Floats]
"""(points, domains) shares to (points, validation) losses."""


class Cost(Protocol):
    """What is minimised."""

    def value(self, losses: Floats) -> Floats:
        """(...) cost of (..., validation) losses."""
        ...


@dataclass(frozen=True, kw_only=True)
class NoWorse:
    """Limits on what a mixture costs single results, against the mixture in use."""

    names: tuple[str, ...]
    columns: tuple[int, ...]
    """Places of the results."""
    limits: Floats
    """(columns,) in each result's own unit."""
    scales: tuple[ResultScale, ...]
    current: Floats
    """(domains,) the mixture in use, or the allowed one nearest to it."""

    def costs(self, losses: Floats) -> Floats:
        """(..., columns) of (..., validation) predicted losses; less is better."""
        return np.stack(
            [
                scale.cost(losses[..., k])
                for scale, k in zip(self.scales, self.columns, strict=True)
            ],
            axis=-1,
        )

    def slopes(self, losses: Floats) -> Floats:
        """(columns,) derivatives of the costs by their (validation,) losses."""
        return np.array(
            [
                float(scale.cost_slope(losses[k : k + 1])[0])
                for scale, k in zip(self.scales, self.columns, strict=True)
            ]
        )

    def within(self, feasible: Feasible) -> NoWorse:
        """The same against what is allowed of the mixture in use."""
        return replace(self, current=scale_into_bounds(self.current, feasible))

    def penalty(
        self, predict: Predict, feasible: Feasible, objective: Cost
    ) -> Callable[[Floats], tuple[float, Floats]]:
        """What (validation,) losses cost beyond the limits, with its (validation,) derivatives.

        Quadratic, and so steep that an optimum goes beyond a limit by a small part of it; `held`
        then takes that part back.
        """
        guard = self.within(feasible)
        before_losses = predict(guard.current[None])[0]
        before = guard.costs(before_losses[None])[0]
        size = max(abs(float(objective.value(before_losses))), 1e-9)
        scale = np.maximum(self.limits, 1e-2 * np.maximum(np.abs(before), 1e-9))

        def beyond(losses: Floats) -> tuple[float, Floats]:
            over = np.maximum(guard.costs(losses[None])[0] - before - self.limits, 0.0) / scale
            by_loss = np.zeros(len(losses))
            by_loss[list(self.columns)] = 2 * _STEEP * size * over / scale * guard.slopes(losses)
            return float(_STEEP * size * (over**2).sum()), by_loss

        return beyond

    def held(self, predict: Callable[[Floats], Floats], shares: Floats) -> Floats:
        """(domains,) shares moved towards the mixture in use until every limit holds.

        The mixture in use keeps all limits, so there is such a mixture on the way to it.

        Args:
            predict: (points, domains) shares to (points, validation) losses.
            shares: (domains,).
        """
        before = self.costs(predict(self.current[None]))[0]

        def kept(part: float) -> bool:
            mixed = self.current + part * (shares - self.current)
            costs = self.costs(predict(mixed[None]))[0]
            return bool((costs - before <= self.limits + _ROUNDING).all())

        if kept(1.0):
            return shares
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if kept(middle) else (low, middle)
        return np.maximum(self.current + low * (shares - self.current), 0.0)

    def binding(self, predict: Predict, shares: Floats) -> dict[str, float]:
        """By result that is about as much worse as it may be, how much that is."""
        both = self.costs(predict(np.stack([self.current, shares])))
        worse = both[1] - both[0]
        near = worse >= self.limits - _SHOWN * np.maximum(self.limits, np.abs(both[0]) * 1e-3)
        moved = bool(np.abs(shares - self.current).max() > 1e-6)
        return {
            name: float(self.limits[i]) for i, name in enumerate(self.names) if near[i] and moved
        }


def no_worse(
    objective: Objective,
    names: tuple[str, ...],
    results: tuple[ReadResult, ...],
    current: Floats,
) -> NoWorse | None:
    """Bind `objective.no_worse` to the results; None where nothing is asked.

    Raises:
        UserError: A pattern names no result.
    """
    limits: dict[int, float] = {}
    for pattern, limit in objective.no_worse.items():
        found = matches(pattern, names, results)
        if not found:
            raise UserError(
                f"objective.no_worse: {pattern!r} was not evaluated; measured are {list(names)[:8]}"
            )
        for k in found:
            limits[k] = min(limit, limits.get(k, limit))
    if not limits:
        return None
    columns = tuple(sorted(limits))
    return NoWorse(
        names=tuple(names[k] for k in columns),
        columns=columns,
        limits=np.array([limits[k] for k in columns]),
        scales=tuple(scale_of(results[k]) if results else PLAIN for k in columns),
        current=current,
    )
