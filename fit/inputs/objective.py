"""The number by which mixtures are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Objective
from mixscale.contracts.metrics import FromLoss, Metric, metric_named, metrics
from mixscale.fit.arrays import Floats


@dataclass(frozen=True, kw_only=True)
class ObjectiveFunction:
    """A weighted mean over validation domains of a metric that follows from their loss."""

    metric: Metric
    """One with `from_loss`, of which lower values are better."""
    validation: tuple[str, ...]
    weights: Floats
    """(validation,) summing to 1."""
    bits_per_nat: Floats
    """(validation,) bits per byte of a loss of one nat per token; ones for metrics without."""

    @property
    def needs_bits_per_nat(self) -> bool:
        """Whether `bits_per_nat` was measured and counts."""
        return self._from_loss.needs_bits_per_nat

    def value(self, losses: Floats) -> Floats:
        """(...) objective of (..., validation) losses in nats per token."""
        return self._from_loss.value(self._bounded(losses), self.bits_per_nat) @ self.weights

    def slope(self, losses: Floats) -> Floats:
        """(..., validation) derivative of the objective by each loss."""
        slope = self._from_loss.slope(self._bounded(losses), self.bits_per_nat)
        return slope * self.weights

    def check(self, losses: Floats) -> None:
        """Refuse losses that cannot be what they are called.

        Raises:
            UserError: A loss is larger than the metric allows, such as the perplexity of a loss
                that looks like a perplexity itself.
        """
        if losses.max(initial=0.0) > self._from_loss.largest_measured_nats:
            raise UserError(
                f"objective.metric: {self.metric.name} of a loss of {losses.max():.4g} nats per "
                "token; if the table holds perplexities, name its columns ppl_DOMAIN"
            )

    def error(self, losses: Floats, errors: Floats) -> Floats:
        """(...) standard error of the objective when the losses err independently."""
        return np.sqrt(((self.slope(losses) * errors) ** 2).sum(-1))

    @property
    def _from_loss(self) -> FromLoss:
        assert self.metric.from_loss is not None
        return self.metric.from_loss

    def _bounded(self, losses: Floats) -> Floats:
        return np.minimum(losses, self._from_loss.largest_predicted_nats)


def objective_function(
    objective: Objective, validation: Sequence[str], bits_per_nat: Floats | None = None
) -> ObjectiveFunction:
    """Bind an objective to the validation domains that were measured.

    Args:
        objective: What the experiment asks.
        validation: Measured validation domains.
        bits_per_nat: (validation,) for metrics that ask for it, such as `bits_per_byte`.

    Raises:
        UserError: A weight for a domain that was not measured, a metric that cannot be minimised,
            or bits per byte without a measure of bytes.
    """
    metric = _to_minimise(objective.metric)
    asked = objective.weights or dict.fromkeys(validation, 1.0)
    unknown = sorted(set(asked) - set(validation))
    if unknown:
        raise UserError(
            f"objective.weights: {unknown} were not evaluated; "
            f"measured validation domains are {list(validation)}"
        )
    weights = np.array([asked.get(name, 0.0) for name in validation], dtype=np.float64)
    scale = np.ones(len(validation))
    if metric.from_loss is not None and metric.from_loss.needs_bits_per_nat:
        if bits_per_nat is None or not np.isfinite(bits_per_nat[weights > 0]).all():
            raise UserError(
                f"objective.metric: {metric.name} needs runs that measured bits per byte; "
                f"use {' or '.join(_without_bytes())}"
            )
        scale = np.nan_to_num(bits_per_nat, nan=1.0)
    return ObjectiveFunction(
        metric=metric,
        validation=tuple(validation),
        weights=weights / weights.sum(),
        bits_per_nat=scale,
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
