"""What laws share that predict each validation loss by a smooth function of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws, Law, Optimum, Residuals
from mixscale.fit.laws.registry import reference_law
from mixscale.fit.laws.shared.suspects import find_suspects
from mixscale.fit.optimize.convex import Minimum, minimise
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.uncertainty.model_error import (
    ModelError,
    calibrate,
    folds_of,
    with_model_error,
)
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE, Noise, student_scales

STARTS = 12
"""Starts where a law is not convex."""
MAX_DRAWS = 100
"""Resamples at most: each is a whole fit with an optimum."""


class Family(Protocol):
    """A parametric family; one row of parameters predicts one validation loss."""

    @property
    def convex(self) -> bool:
        """Whether every prediction is convex in the shares at a fixed token budget."""
        ...

    def fit(
        self,
        points: Points,
        losses: Floats,
        weight: Floats,
        start: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """(draws, validation, parameters) of (draws, runs, validation) losses.

        Points are the runs, weights (draws, runs): how often each run counts. With `rng` each
        draw also takes its own prior, see `mixscale.fit.laws.shared.shrinkage`.
        """
        ...

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(rows, points) losses under (rows, parameters).

        Rows are the validation domains in turn, once or for several draws.
        """
        ...

    def slopes(self, theta: Floats, point: Points) -> Floats:
        """(rows, domains) derivatives of the losses by each domain's tokens, at one point."""
        ...

    def describe(self, theta: Floats) -> dict[str, Any]:
        """One validation loss's parameters, as JSON can hold them."""
        ...


@dataclass(frozen=True, kw_only=True)
class SmoothLaw:
    """A fitted family."""

    domains: tuple[str, ...]
    objective: ObjectiveFunction
    family: Family
    theta: Floats
    """(validation, parameters)."""
    runs: Runs | None
    """What it was fitted to; absent when read back from a record."""
    noise: Noise = UNKNOWN_NOISE
    suspect: Bools | None = None
    """(runs,) left out of the fit, see `mixscale.fit.laws.shared.suspects`; None: all count."""

    @property
    def suspects(self) -> tuple[str, ...]:
        """Labels of the runs that were left out of the fit, as the law cannot have come by them."""
        if self.runs is None or self.suspect is None:
            return ()
        return tuple(self.runs.labels[i] for i in np.flatnonzero(self.suspect))

    def predict_losses(self, points: Points) -> Floats:
        """(points, validation) losses in nats."""
        return self.family.predict(self.theta, points).T

    def predict_objective(self, points: Points) -> Floats:
        """(points,) objective."""
        return self.objective.value(self.predict_losses(points))

    def optimum(self, feasible: Feasible, run: PlannedRun) -> Optimum:
        """Minimise the objective over the allowed mixtures."""
        found = self._minimum(self.theta, feasible, run, None)
        exact = self._convex
        return Optimum(
            shares=found.shares,
            objective=found.value,
            exact=exact,
            how=(
                f"convex: at most {max(found.gap, 0):.1g} above the least possible"
                if exact
                else f"not convex: the best of {STARTS} starts"
            ),
        )

    def draws(self, rng: np.random.Generator, count: int) -> Draws | None:
        """Refit to the measured losses with noise added, each draw with its own prior and error.

        The noise of each validation loss is what the fit left over, widened for its parameters, or
        what repeated runs showed if that is more. Most of it belongs to a whole run, and all its
        losses share it: drawn for each loss alone it would cancel in their mean. To predictions
        comes what the law gets wrong of left-out mixtures, see
        `mixscale.fit.uncertainty.model_error`.
        """
        if self.runs is None:
            return None
        # A generator for each part, so that more draws of one do not change those of another.
        of_noise, of_scales, of_priors, of_errors = rng.spawn(4)
        count = min(count, MAX_DRAWS)
        predicted = self.predict_losses(self.runs.points)
        # Checkpoints of one run share its noise, so they share the draw.
        of_run = self.runs.independent
        shape = (count, int(of_run.max()) + 1, predicted.shape[1])
        covariance, freedom = self._covariance(predicted)
        noise = of_noise.normal(size=shape)[:, of_run]
        noise *= student_scales(of_scales, count, freedom)[:, None, None]
        losses = self.runs.losses + noise @ _root(covariance)
        start = np.broadcast_to(self.theta, (count, *self.theta.shape))
        weight = np.tile(self._weight, (count, 1))
        theta = self.family.fit(self.runs.points, losses, weight, start, of_priors)
        draws = SmoothDraws(law=self, theta=theta)
        error = self._model_error(theta)
        if error is None:
            return draws
        return with_model_error(draws, self.predict_objective, error, of_errors, count)

    @cached_property
    def missed(self) -> Floats | None:
        """(runs,) measured objective less that of a fit without the run's mixture.

        It is nan for runs that took no part, and None with too few mixtures to leave some out.
        """
        if self.runs is None:
            return None
        runs, counted = self.runs, self._weight
        weights = folds_of(runs, counted)
        if len(weights) < 3:
            return None
        start = np.broadcast_to(self.theta, (len(weights), *self.theta.shape))
        losses = np.broadcast_to(runs.losses, (len(weights), *runs.losses.shape))
        missed, truth = np.full(len(runs), np.nan), self.objective.value(runs.losses)
        for theta, weight in zip(
            self.family.fit(runs.points, losses, weights, start), weights, strict=True
        ):
            out = (weight == 0) & (counted > 0)
            if out.any():
                losses_out = self.family.predict(theta, runs.points.where(out)).T
                missed[out] = truth[out] - self.objective.value(losses_out)
        return missed

    def _model_error(self, drawn: Floats) -> ModelError | None:
        """What the law gets wrong of left-out mixtures beside what its draws leave open."""
        missed = self.missed
        if self.runs is None or missed is None:
            return None
        runs, counted = self.runs, self._weight
        weights = folds_of(runs, counted)
        rows = self.family.predict(drawn.reshape(-1, drawn.shape[-1]), runs.points)
        values = rows.reshape(*drawn.shape[:2], len(runs)).transpose(0, 2, 1)
        # What is known to be the left-out run's own noise is no error of the law.
        noise = 0.0 if self.noise.source == "residuals" else self.noise.variance or 0.0
        predicted = self.predict_objective(runs.points)
        values = self.objective.value(values)
        return calibrate(runs, weights, missed, predicted, values, noise, counted)

    def no_response(self) -> tuple[str, ...]:
        """None: these laws put a useless domain at its floor by themselves."""
        return ()

    def too_noisy(self) -> tuple[str, ...]:
        """None are detected."""
        return ()

    def parameters(self) -> dict[str, Any]:
        """Parameters by validation domain."""
        names = self.objective.validation
        return {
            name: self.family.describe(row) for name, row in zip(names, self.theta, strict=True)
        }

    @property
    def _weight(self) -> Floats:
        """(runs,) with which they took part in the fit; 0 for those left out."""
        assert self.runs is not None
        return self.runs.weight if self.suspect is None else self.runs.weight * ~self.suspect

    def _covariance(self, predicted: Floats) -> tuple[Floats, float]:
        """(validation, validation) of a run around the law in squared nats, degrees of freedom."""
        assert self.runs is not None
        counted, parameters = self._weight > 0, self.theta.shape[1]
        count = len(set(self.runs.independent[counted].tolist()))
        # Shrunken parameters cost less than one degree of freedom each, hence the floor.
        freedom = max(count - parameters, count / 3)
        residuals = (self.runs.losses - predicted)[counted]
        weight = self._weight[counted] / self._weight[counted].sum()
        left = residuals.T @ (weight[:, None] * residuals) * (count / freedom)
        known = self.noise.beside_residuals
        if known is None:
            return left, freedom
        deviation = np.sqrt(np.diag(left))
        correlation = left / np.maximum(np.outer(deviation, deviation), 1e-300)
        np.fill_diagonal(correlation, 1.0)
        wider = np.maximum(deviation, known)
        return correlation * np.outer(wider, wider), freedom

    @property
    def _convex(self) -> bool:
        """Whether the objective is convex in the shares: one start then finds the least value."""
        return self.family.convex and self.objective.convex

    def _minimum(
        self, theta: Floats, feasible: Feasible, run: PlannedRun, start: Floats | None
    ) -> Minimum:
        def predict(shares: Floats) -> Floats:
            return self.family.predict(theta, run.with_shares(shares)).T

        guard, objective = self.objective.guard, self.objective
        penalty = None if guard is None else guard.penalty(predict, feasible, objective)

        def function(shares: Floats) -> tuple[float, Floats]:
            point = run.with_shares(shares[None])
            losses = self.family.predict(theta, point)[:, 0]
            slopes = self.family.slopes(theta, point)
            value = float(objective.value(losses))
            by_loss = objective.slope(losses)
            if penalty is not None:
                more, more_by_loss = penalty(losses)
                value, by_loss = value + more, by_loss + more_by_loss
            return value, (by_loss @ slopes) * run.token_budget

        starts = _starts(feasible, 1 if self._convex else STARTS)
        if start is not None:
            starts = start[None] if self._convex else np.vstack([start, starts[:3]])
        found = min((minimise(function, feasible, s) for s in starts), key=lambda m: m.value)
        if guard is None:
            return found
        held = guard.within(feasible).held(predict, found.shares)
        value = float(objective.value(predict(held[None]))[0])
        return Minimum(shares=held, value=value, gap=found.gap)


@dataclass(frozen=True, kw_only=True)
class SmoothDraws:
    """A family refitted to resampled losses."""

    law: SmoothLaw
    theta: Floats
    """(draws, validation, parameters)."""

    def optima(self, feasible: Feasible, run: PlannedRun) -> Floats:
        """(draws, domains) optimal shares."""
        start = self.law.optimum(feasible, run).shares
        return np.stack(
            [self.law._minimum(theta, feasible, run, start).shares for theta in self.theta]
        )

    def predict_objective(self, points: Points) -> Floats:
        """(draws,) objective of as many points as draws, or of one."""
        predict, rows = self.law.family.predict, self.theta
        if len(points) == 1:
            losses = predict(rows.reshape(-1, rows.shape[-1]), points).reshape(rows.shape[:2])
        else:
            assert len(points) == len(rows)
            losses = np.stack(
                [predict(theta, points.where([i]))[:, 0] for i, theta in enumerate(rows)]
            )
        return self.law.objective.value(losses)


def smooth_law(name: str, family: Callable[[Runs], Family], **settings: Any) -> Law:
    """A law that fits a family to every validation loss.

    Args:
        name: Of the law.
        family: Makes the family for some runs.
        settings: The other fields of `Law`.
    """

    def fit(runs: Runs, objective: ObjectiveFunction, noise: Noise) -> SmoothLaw:
        return fit_smooth(family(runs), runs, objective, noise)

    def leave_out(
        runs: Runs, objective: ObjectiveFunction, masks: Sequence[Bools]
    ) -> Iterator[SmoothLaw]:
        # All at once: a left-out run has weight zero.
        suspect = _suspects(runs)
        weight = np.stack([~mask & ~suspect for mask in masks]) * runs.weight
        losses = np.broadcast_to(runs.losses, (len(masks), *runs.losses.shape))
        chosen = family(runs)
        for theta in chosen.fit(runs.points, losses, weight):
            yield SmoothLaw(
                domains=runs.domains, objective=objective, family=chosen, theta=theta, runs=None
            )

    return Law(name=name, fit=fit, leave_out=leave_out, **settings)


def fit_smooth(family: Family, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> SmoothLaw:
    """Fit a family to every validation loss, without the runs that it cannot have come by."""
    suspect = _suspects(runs)
    theta = family.fit(runs.points, runs.losses[None], runs.weight * ~suspect[None])[0]
    return SmoothLaw(
        domains=runs.domains,
        objective=objective,
        family=family,
        theta=theta,
        runs=runs,
        noise=noise,
        suspect=suspect,
    )


def _suspects(runs: Runs) -> Bools:
    """(runs,) to leave out of a fit; runs that were screened before all count."""
    if runs.screened:
        return np.zeros(len(runs), dtype=bool)
    return find_suspects(family_of_suspects(runs), runs.points, runs.losses)


def family_of_suspects(runs: Runs) -> Residuals:
    """The family that runs are suspected by: that of the law which leaves least over of them."""
    reference = reference_law().residuals
    assert reference is not None
    return reference(runs)


def _root(covariance: Floats) -> Floats:
    """(validation, validation) symmetric square root."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _starts(feasible: Feasible, count: int) -> Floats:
    """(count, domains) allowed shares: the uniform mixture, then random ones, always the same."""
    domains = len(feasible.domains)
    rng = np.random.default_rng(0)
    raw = np.vstack(
        [np.full((1, domains), 1 / domains), rng.dirichlet(np.ones(domains), count - 1)]
    )
    return scale_into_bounds(raw, feasible)
