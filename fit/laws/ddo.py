"""DDO: one response curve for each domain, the others held at their base tokens.

AutoScale, arXiv 2407.20177, sec. 3 with algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.constraints.conflict import find_conflict
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.laws.base import Law, Optimum
from mixscale.fit.laws.shared.response_curve import EXACT_NOISE, Curves, fit_curves
from mixscale.fit.optimize.convex import minimise
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.optimize.separable import separable_optimum
from mixscale.fit.uncertainty.intervals import NORMAL_90
from mixscale.fit.uncertainty.noise import Noise

_HALF = 0.5
_LARGEST_LOG_ODDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Responses:
    """Whether the runs show that a domain's tokens matter."""

    answers: Bools
    """(..., domains) measurably."""
    too_noisy: Bools
    """(..., domains) hidden by the noise. Neither: measurably less than the others, if at all."""

    def of(self, column: int) -> Responses:
        """Take one column."""
        return Responses(answers=self.answers[column], too_noisy=self.too_noisy[column])


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """Mean measurements around one base run: the base, then each change, by domain."""

    base_tokens: Floats
    """(domains,) tokens of the base run."""
    base_values: Floats
    """(columns,) mean values of the base run; the objective, then each validation loss."""
    x: Floats
    """(domains, points) tokens of the changed domain as multiples of the base."""
    y: Floats
    """(columns, domains, points) values as multiples of the base run's."""
    noise: Floats
    """(columns, domains, points) standard deviation of y; infinite where there is no point."""
    source: Noise
    """What `noise` was made from."""

    @property
    def known_noise(self) -> bool:
        """Whether anything tells how noisy the runs are."""
        return self.source.objective is not None


@dataclass(frozen=True, kw_only=True)
class DdoLaw:
    """The curves of one scale."""

    domains: tuple[str, ...]
    objective: ObjectiveFunction
    measured: Measurements
    curves: Curves
    """(columns, domains)."""
    responses: Responses
    """(columns, domains)."""

    @property
    def answers(self) -> Bools:
        """(columns, domains) with a measurable response."""
        return self.responses.answers

    def predict_objective(self, points: Points) -> Floats:
        """(points,) base objective with every domain's effect added."""
        return self.measured.base_values[0] * (1 + self._effects(points)[0].sum(-1))

    def predict_losses(self, points: Points) -> Floats:
        """(points, validation) base losses with every domain's effect added."""
        effects = self._effects(points)[1:].sum(-1)
        losses = (self.measured.base_values[1:, None] * (1 + effects)).T
        logs = np.log(np.maximum(losses, np.exp(-_LARGEST_LOG_ODDS)))
        return np.where(self.objective.of_log_odds, logs, losses)

    def optimum(self, feasible: Feasible, run: PlannedRun) -> Optimum:
        """Solve for the objective's curves exactly."""
        curves = Curves(a=self.curves.a[0], b=self.curves.b[0], c=self.curves.c[0])
        responses, total = self.responses.of(0), run.token_budget
        shares = _optimum(curves, responses, self.measured, feasible, total) / total
        return Optimum(
            shares=shares,
            objective=float(self.predict_objective(run.with_shares(shares[None]))[0]),
            exact=True,
            how=(
                "convex, solved by its optimality conditions"
                if feasible.plain
                else "convex, solved by sequential quadratic programming"
            ),
        )

    def draws(self, rng: np.random.Generator, count: int) -> DdoDraws | None:
        """Fit curves to the objective with fresh noise added."""
        if not self.measured.known_noise:
            return None
        measured = self.measured
        y, noise = measured.y[0], measured.noise[0]
        of_noise, of_scales = rng.spawn(2)
        shifts = of_noise.normal(size=(count, *y.shape)) * np.where(np.isfinite(noise), noise, 0.0)
        shifts *= measured.source.scales(of_scales, count)[:, None, None]
        shifts[:, :, 0] = shifts[:, :1, 0]  # all domains share the base run
        start = Curves(a=self.curves.a[0], b=self.curves.b[0], c=self.curves.c[0])
        curves = fit_curves(measured.x, y + shifts, noise, start=start)
        responses = classify(measured.x, y + shifts, noise, known=True)
        return DdoDraws(measured=measured, curves=curves, responses=responses)

    def no_response(self) -> tuple[str, ...]:
        """Domains whose tokens do not measurably lower the objective."""
        return self._named(~self.answers[0] & ~self.responses.too_noisy[0])

    def too_noisy(self) -> tuple[str, ...]:
        """Domains whose tokens may matter as much as others', were the runs less noisy."""
        return self._named(self.responses.too_noisy[0])

    def _named(self, which: Bools) -> tuple[str, ...]:
        return tuple(name for name, chosen in zip(self.domains, which, strict=True) if chosen)

    def parameters(self) -> dict[str, Any]:
        """The objective's curves by domain, with the points they were fitted to."""
        return {
            "base_tokens": dict(zip(self.domains, self.measured.base_tokens.tolist(), strict=True)),
            "base_objective": float(self.measured.base_values[0]),
            "curves": {name: self._describe(i) for i, name in enumerate(self.domains)},
        }

    def _describe(self, i: int) -> dict[str, Any]:
        points = [
            {"x": float(x), "y": float(y), "noise": float(s) if self.measured.known_noise else None}
            for x, y, s in zip(
                self.measured.x[i], self.measured.y[0, i], self.measured.noise[0, i], strict=True
            )
            if np.isfinite(s)
        ]
        return {
            "a": float(self.curves.a[0, i]),
            "b": float(self.curves.b[0, i]),
            "c": float(self.curves.c[0, i]),
            "responds": bool(self.answers[0, i]),
            "points": points,
        }

    def _effects(self, points: Points) -> Floats:
        """(columns, points, domains) relative change against the base."""
        return _effects(self.curves, self.answers, points.tokens / self.measured.base_tokens)


@dataclass(frozen=True, kw_only=True)
class DdoDraws:
    """Curves of the objective under resampled noise."""

    measured: Measurements
    curves: Curves
    """(draws, domains)."""
    responses: Responses
    """(draws, domains)."""

    def optima(self, feasible: Feasible, run: PlannedRun) -> Floats:
        """(draws, domains) optimal shares."""
        total = run.token_budget
        return _optimum(self.curves, self.responses, self.measured, feasible, total) / total

    def predict_objective(self, points: Points) -> Floats:
        """(draws,) objective of as many points as draws, or of one."""
        x = points.tokens / self.measured.base_tokens
        effects = np.where(self.responses.answers, self.curves(x) - self.curves(np.ones(1)), 0.0)
        return self.measured.base_values[0] * (1 + effects.sum(-1))


def fit_ddo(runs: Runs, objective: ObjectiveFunction, noise: Noise) -> DdoLaw:
    """Fit a curve to each domain at one scale, for the objective and for each validation loss.

    Raises:
        UserError: There is no base run, or a domain has neither an increased nor a reduced run.
    """
    measured = gather_measurements(runs, objective, noise)
    return DdoLaw(
        domains=runs.domains,
        objective=objective,
        measured=measured,
        curves=fit_curves(measured.x, measured.y, measured.noise),
        responses=classify(measured.x, measured.y, measured.noise, known=measured.known_noise),
    )


def gather_measurements(runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Measurements:
    """Average repeated runs and line them up by changed domain."""
    values = np.column_stack([objective.value(runs.losses), _positive(runs.losses, objective)])
    deviation = _deviations(noise, values.shape[1])
    # Noise of log odds, in parts of the odds.
    in_parts = np.concatenate([[False], objective.of_log_odds])
    deviation = np.where(in_parts, deviation * np.abs(values).mean(0), deviation)
    base = np.array([name == BASE for name in runs.changed])
    if not base.any():
        raise UserError("law ddo: there is no base run; every change is compared with it")
    base_tokens, base_values = runs.tokens[base].mean(0), values[base].mean(0)
    if not (base_values > 0).all():
        raise UserError(
            f"law ddo: the base run has a loss of {base_values.min():.4g}; every change is "
            "taken in parts of it, so it must be positive. `--law joint` takes such losses"
        )
    columns = [_domain_points(runs, i, base_tokens, values) for i in range(len(runs.domains))]
    width = 1 + max(len(x) for x, _, _ in columns)
    shape = (values.shape[1], len(runs.domains), width)
    x, y, spread = np.ones(shape[1:]), np.ones(shape), np.full(shape, np.inf)
    spread[:, :, 0] = (deviation / np.sqrt(base.sum()))[:, None]
    for i, (multiples, means, counts) in enumerate(columns):
        filled = slice(1, 1 + len(multiples))
        x[i, filled] = multiples
        y[:, i, filled] = (means / base_values).T
        spread[:, i, filled] = deviation[:, None] / np.sqrt(counts)
    known = noise.objective is not None
    scale = base_values[:, None, None] if known else 1.0
    return Measurements(
        base_tokens=base_tokens,
        base_values=base_values,
        x=x,
        y=y,
        noise=np.maximum(spread / scale, EXACT_NOISE),
        source=noise,
    )


def classify(x: Floats, y: Floats, noise: Floats, *, known: bool) -> Responses:
    """(..., domains) tell which values fall with tokens, and where the noise hides it.

    A domain answers when the weighted straight line through its points over log(0.1 + x) falls, by
    `NORMAL_90` standard errors where the noise is known. If it does not, but may within those
    standard errors fall half as much as the domains that do, the runs cannot tell: calling it
    unresponsive would give its tokens away on no evidence.
    """
    weight = 1 / noise**2
    share = weight / weight.sum(-1, keepdims=True)
    position = np.log(0.1 + x)
    centred = position - (share * position).sum(-1, keepdims=True)
    spread = (weight * centred**2).sum(-1)
    slope = (weight * centred * y).sum(-1) / np.maximum(spread, 1e-300)
    threshold = NORMAL_90 / np.sqrt(np.maximum(spread, 1e-300)) if known else 1e-9
    answers = slope < -threshold
    if not known:
        return Responses(answers=answers, too_noisy=np.zeros_like(answers))
    found = answers.sum(-1, keepdims=True)
    typical = np.where(answers, -slope, 0.0).sum(-1, keepdims=True) / np.maximum(found, 1)
    hidden = threshold - slope > _HALF * typical
    return Responses(answers=answers, too_noisy=~answers & (hidden | (found == 0)))


def _positive(losses: Floats, objective: ObjectiveFunction) -> Floats:
    """(runs, validation) numbers that have a part: odds where losses are their logarithm."""
    odds = np.exp(np.minimum(losses, _LARGEST_LOG_ODDS))
    return np.where(objective.of_log_odds, odds, losses)


def _domain_points(
    runs: Runs, i: int, base_tokens: Floats, values: Floats
) -> tuple[Floats, Floats, Floats]:
    """Multiples (points,), mean values (points, columns), run counts (points,) of one domain."""
    name = runs.domains[i]
    rows = [k for k, changed in enumerate(runs.changed) if changed == name]
    if not rows:
        raise UserError(
            f"law ddo: domain {name} has no run with its tokens increased or reduced; "
            "`mixscale sweep experiment.yaml` runs what is missing"
        )
    labels = dict.fromkeys(runs.labels[k] for k in rows)
    groups = [[k for k in rows if runs.labels[k] == label] for label in labels]
    multiples = np.array([runs.tokens[group, i].mean() for group in groups]) / base_tokens[i]
    means = np.array([values[group].mean(0) for group in groups])
    return multiples, means, np.array([len(group) for group in groups], dtype=np.float64)


def _deviations(noise: Noise, columns: int) -> Floats:
    """(columns,) standard deviation of one run's objective and losses."""
    if noise.objective is None or noise.losses is None:
        return np.full(columns, EXACT_NOISE)
    return np.concatenate([[noise.objective], noise.losses])


def _effects(curves: Curves, answers: Bools, x: Floats) -> Floats:
    wide = Curves(a=curves.a[:, None], b=curves.b[:, None], c=curves.c[:, None])
    return np.where(answers[:, None], wide(x) - wide(np.ones(1)), 0.0)


def _optimum(
    curves: Curves, responses: Responses, measured: Measurements, feasible: Feasible, total: float
) -> Floats:
    """(..., domains) tokens; domains too noisy to tell keep their share of the base run."""
    if not feasible.plain:
        return _optima_in_groups(curves, responses, measured, feasible, total)
    low, high = feasible.low * total, feasible.high * total
    kept = np.clip(measured.base_tokens / measured.base_tokens.sum() * total, low, high)
    held_low = np.where(responses.too_noisy, kept, low)
    held_high = np.where(responses.too_noisy, kept, high)
    slack = 1e-9 * total
    possible = (held_low.sum(-1) <= total + slack) & (held_high.sum(-1) >= total - slack)
    return separable_optimum(
        curves.a,
        np.where(responses.answers, curves.b, 0.0),
        measured.base_tokens,
        np.where(possible[..., None], held_low, low),
        np.where(possible[..., None], held_high, high),
        total,
    )


def _optima_in_groups(
    curves: Curves, responses: Responses, measured: Measurements, feasible: Feasible, total: float
) -> Floats:
    """(..., domains) tokens where groups or a divergence bind domains together, one by one."""
    shape = curves.a.shape
    rows = zip(
        *(part.reshape(-1, shape[-1]) for part in (curves.a, curves.b)),
        responses.answers.reshape(-1, shape[-1]),
        responses.too_noisy.reshape(-1, shape[-1]),
        strict=True,
    )
    base = measured.base_tokens / total
    found = []
    held: dict[bytes, Feasible] = {}
    for a, b, answers, too_noisy in rows:
        key = too_noisy.tobytes()
        if key not in held:
            held[key] = _holding(too_noisy, measured, feasible)
        found.append(_optimum_in_groups(a, np.where(answers, b, 0.0), base, held[key]))
    return np.array(found).reshape(shape) * total


def _holding(too_noisy: Bools, measured: Measurements, feasible: Feasible) -> Feasible:
    """The allowed mixtures that leave domains too noisy to tell their share, if there are any."""
    share = np.clip(measured.base_tokens / measured.base_tokens.sum(), feasible.low, feasible.high)
    held = replace(
        feasible,
        low=np.where(too_noisy, share, feasible.low),
        high=np.where(too_noisy, share, feasible.high),
    )
    return held if too_noisy.any() and find_conflict(held) is None else feasible


def _optimum_in_groups(a: Floats, b: Floats, base: Floats, feasible: Feasible) -> Floats:
    """(domains,) shares that minimise `sum (a + p / base)^(-b)`; those with b = 0 stay small."""
    idle = np.where(b > 0, 0.0, 1e-6 * (b / base).max(initial=1.0))

    def value(shares: Floats) -> tuple[float, Floats]:
        x = a + shares / base
        slope = -b / base * x ** (-b - 1) + idle
        return float((np.where(b > 0, x**-b, 0.0) + idle * shares).sum()), slope

    return minimise(value, feasible, scale_into_bounds(base / base.sum(), feasible)).shares


def _coefficients(runs: Runs) -> int:
    """The base run's level, and up to two for each domain: one change settles no shape."""
    changes = {(changed, label) for changed, label in zip(runs.changed, runs.labels, strict=True)}
    counts = [sum(changed == name for changed, _ in changes) for name in runs.domains]
    return 1 + sum(min(count, 2) for count in counts)


LAW = Law(
    name="ddo",
    fit=fit_ddo,
    spans_scales=False,
    needs_base=True,
    coefficients=_coefficients,
    summary="one response curve for each domain around a base run (AutoScale)",
)
