"""The number by which mixtures are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import TASK_METRICS, Objective
from mixscale.contracts.fit_record import Aim, ReadResult
from mixscale.contracts.metrics import LOSS, FromLoss, Metric, metric_named, metrics
from mixscale.fit.arrays import Bools, Floats, Ints
from mixscale.fit.metrics.no_worse import NoWorse
from mixscale.fit.metrics.scale import ResultScale, scale_of
from mixscale.fit.metrics.weights import objective_weights

Value = TypeVar("Value", float, Floats)
_SAME_WEIGHT = 1e-9
_LOSS_LIKE = ("loss", "perplexity", "bits_per_byte")


@dataclass(frozen=True, kw_only=True)
class ObjectiveFunction:
    """A weighted mean over results, as a cost: less is better, whichever way the results go.

    `shown` and `aim` turn the cost back into the unit and the direction of the results.
    """

    metric: Metric
    """One with `from_loss`, that losses are turned into."""
    validation: tuple[str, ...]
    weights: Floats
    """(validation,) summing to 1."""
    bits_per_nat: Floats
    """(validation,) bits per byte of a loss of one nat per token; ones for metrics without."""
    results: tuple[ReadResult, ...] = ()
    """(validation,) units and directions; empty where all results are losses."""
    guard: NoWorse | None = None
    """Limits on how much worse single results may get."""

    @property
    def needs_bits_per_nat(self) -> bool:
        """Whether `bits_per_nat` was measured and counts."""
        return self._from_loss.needs_bits_per_nat

    @property
    def convex(self) -> bool:
        """Whether the cost is convex and increasing in what laws predict."""
        return all(scale.convex for scale, _ in self._tasks)

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the objective is better, as it is shown."""
        return bool(self.results) and all(
            result.higher_is_better
            for result, weight in zip(self.results, self.weights, strict=True)
            if weight
        )

    @property
    def of_log_odds(self) -> Bools:
        """(validation,) that laws see as log odds, which may have either sign."""
        scales = [scale_of(result) for result in self.results]
        found = [scale.bounds is not None and scale.curve is None for scale in scales]
        return np.array(found or [False] * len(self.validation), dtype=bool)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest possible cost."""
        low = high = 0.0
        for scale, weights in self._tasks:
            width = np.inf if scale.bounds is None else scale.bounds[1] - scale.bounds[0]
            least = 0.0 if scale.bounds is not None else -np.inf
            low, high = low + least * weights.sum(), high + width * weights.sum()
        return (-np.inf, np.inf) if not self._tasks or self._of_loss.any() else (low, high)

    def value(self, losses: Floats) -> Floats:
        """(...) cost of (..., validation) losses in nats per token, or what results are fitted
        as."""
        if not self.results:
            return self._from_loss.value(self._bounded(losses), self.bits_per_nat) @ self.weights
        total = np.zeros(losses.shape[:-1])
        if self._of_loss.any():
            costs = self._from_loss.value(self._bounded(losses), self.bits_per_nat)
            total = costs[..., self._of_loss] @ self.weights[self._of_loss]
        for (scale, weights), columns in zip(self._tasks, self._columns, strict=True):
            total = total + scale.cost(losses[..., columns]) @ weights
        return total

    def slope(self, losses: Floats) -> Floats:
        """(..., validation) derivative of the cost by each loss."""
        slope = self._from_loss.slope(self._bounded(losses), self.bits_per_nat) * self.weights
        for (scale, weights), columns in zip(self._tasks, self._columns, strict=True):
            slope[..., columns] = scale.cost_slope(losses[..., columns]) * weights
        return slope

    def check(self, losses: Floats) -> None:
        """Refuse losses that cannot be what they are called.

        Raises:
            UserError: A loss is larger than the metric allows, such as the perplexity of a loss
                that looks like a perplexity itself.
        """
        if self.results:
            losses = losses[:, self._of_loss]
        if losses.max(initial=0.0) > self._from_loss.largest_measured_nats:
            raise UserError(
                f"objective.metric: {self.metric.name} of a loss of {losses.max():.4g} nats per "
                "token; if the table holds perplexities, name its columns ppl_DOMAIN"
            )

    def error(self, losses: Floats, errors: Floats) -> Floats:
        """(...) standard error of the objective when the losses err independently."""
        return np.sqrt(((self.slope(losses) * errors) ** 2).sum(-1))

    def shown(self, cost: Value) -> Value:
        """A cost in the unit and direction of the results."""
        return self._top - cost if self.higher_is_better else cost

    def shown_span(self, low: float, high: float) -> tuple[float, float]:
        """Ends of an interval of costs, within what is possible, likewise."""
        least, most = self.bounds
        ends = (self.shown(float(np.clip(end, least, most))) for end in (low, high))
        first, last = ends
        return min(first, last), max(first, last)

    @property
    def aim(self) -> Aim:
        """What the objective is in, for people."""
        counted = [
            (i, result)
            for i, (result, weight) in enumerate(zip(self.results, self.weights, strict=True))
            if weight
        ] if self.results else []  # fmt: skip
        over = self._over
        units = {(r.metric, r.unit) for _, r in counted if r.metric not in ("loss", "perplexity")}
        plain = [r for _, r in counted if r.metric in ("loss", "perplexity")]
        if not units:
            return Aim(
                title=self.metric.title,
                unit=self.metric.unit or self.metric.name,
                higher_is_better=False,
                over=over,
            )
        if len(units) > 1 or plain:
            return Aim(
                title="weighted sum of results of several units, as a cost",
                unit="",
                higher_is_better=self.higher_is_better,
                over=over,
            )
        ((metric, unit),) = units
        name = metric.replace("_", " ")
        if metric == "bits_per_byte" and self.metric.name != "loss":
            name, unit = self.metric.name.replace("_", " "), self.metric.unit
        return Aim(
            title=name if unit in ("", name) else f"{name}, {unit}",
            unit=unit or name,
            higher_is_better=self.higher_is_better,
            over=over,
        )

    @property
    def _over(self) -> str:
        counted = self.weights[self.weights > 0]
        if len(counted) == 1:
            return f"{self.validation[int(self.weights.argmax())]} alone"
        what = "results" if self._groups else "validation domains"
        mean = "mean" if np.ptp(counted) < _SAME_WEIGHT else "weighted mean"
        return f"{mean} over {len(counted)} {what}"

    @property
    def _top(self) -> float:
        """Of the objective where it costs nothing."""
        return float(sum(scale.top * weights.sum() for scale, weights in self._tasks))

    @cached_property
    def _of_loss(self) -> Bools:
        """(validation,) that the metric turns into its own unit."""
        return np.array([r.metric in _LOSS_LIKE for r in self.results], dtype=bool)

    @cached_property
    def _groups(self) -> dict[ResultScale, list[int]]:
        groups: dict[ResultScale, list[int]] = {}
        for i, result in enumerate(self.results):
            if result.metric not in _LOSS_LIKE and self.weights[i]:
                groups.setdefault(scale_of(result), []).append(i)
        return groups

    @cached_property
    def _columns(self) -> list[Ints]:
        return [np.array(columns) for columns in self._groups.values()]

    @cached_property
    def _tasks(self) -> list[tuple[ResultScale, Floats]]:
        """Scales of results that are no losses, with the (columns,) weights of each."""
        return [(scale, self.weights[columns]) for scale, columns in self._groups.items()]

    @property
    def _from_loss(self) -> FromLoss:
        assert self.metric.from_loss is not None
        return self.metric.from_loss

    def _bounded(self, losses: Floats) -> Floats:
        return np.minimum(losses, self._from_loss.largest_predicted_nats)


def objective_function(
    objective: Objective,
    validation: Sequence[str],
    bits_per_nat: Floats | None = None,
    results: Sequence[ReadResult] = (),
) -> ObjectiveFunction:
    """Bind an objective to the results that were measured.

    Args:
        objective: What the experiment asks.
        validation: Measured validation domains and tasks.
        bits_per_nat: (validation,) for metrics that ask for it, such as `bits_per_byte`.
        results: (validation,) units and directions; empty where all are losses.

    Raises:
        UserError: A weight for a domain that was not measured, a metric that cannot be minimised,
            bits per byte without a measure of bytes, or results of several units that nobody
            weighed.
    """
    metric = LOSS if objective.metric in TASK_METRICS else _to_minimise(objective.metric)
    weights = objective_weights(objective, validation, results)
    _check_units(objective, weights, validation, results)
    of_loss = np.array([r.metric in _LOSS_LIKE for r in results] or [True] * len(validation))
    scale = np.ones(len(validation))
    if metric.from_loss is not None and metric.from_loss.needs_bits_per_nat:
        counted = (weights > 0) & of_loss
        in_bits = bool(results) and all(
            results[i].metric == "bits_per_byte" for i in np.flatnonzero(counted)
        )
        if in_bits:
            metric = LOSS
        elif bits_per_nat is None or not np.isfinite(bits_per_nat[counted]).all():
            raise UserError(
                f"objective.metric: {metric.name} needs runs that measured bits per byte; "
                f"use {' or '.join(_without_bytes())}"
            )
        else:
            scale = np.nan_to_num(bits_per_nat, nan=1.0)
    return ObjectiveFunction(
        metric=metric,
        validation=tuple(validation),
        weights=weights,
        bits_per_nat=scale,
        results=tuple(results),
    )


def _check_units(
    objective: Objective,
    weights: Floats,
    validation: Sequence[str],
    results: Sequence[ReadResult],
) -> None:
    """Refuse a mean over several units, unless each has a weight."""
    if not results or objective.weights is not None:
        return
    groups: dict[str, list[str]] = {}
    for name, result, weight in zip(validation, results, weights, strict=True):
        if weight:
            unit = "loss" if result.metric == "perplexity" else result.metric
            in_percent = " in percent" if result.unit == "percent" else ""
            groups.setdefault(unit + in_percent, []).append(name)
    if len(groups) > 1:
        named = "; ".join(f"{unit} ({', '.join(names[:3])})" for unit, names in groups.items())
        raise UserError(
            f"the objective would be a mean of results in several units: {named}; take one with "
            "--objective or --results, or say what a unit of each counts with --weight PATTERN=X "
            "(objective.weights)"
        )


def _to_minimise(name: str) -> Metric:
    """Look a metric up that laws of losses can minimise."""
    metric = metric_named(name, "objective.metric")
    if metric.from_loss is None or metric.direction != "lower":
        why = "is better higher" if metric.direction == "higher" else "does not follow from a loss"
        raise UserError(
            f"objective.metric: {name} {why}; fits minimise a metric that follows from the "
            f"validation loss: {', '.join(_without_bytes())}"
        )
    return metric


def _without_bytes() -> list[str]:
    """Name the metrics that can be minimised whatever the runs measured beside the loss."""
    return [
        metric.name
        for metric in metrics().values()
        if metric.direction == "lower"
        and metric.from_loss is not None
        and not metric.from_loss.needs_bits_per_nat
    ]
