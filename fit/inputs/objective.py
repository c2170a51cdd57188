"""The number a mixture is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Objective
from mixscale.fit.arrays import Floats

_MOST_NATS = 50.0
_LARGEST = 200.0
"""Nats beyond which a law's prediction has no perplexity that could be squared."""

Metric = Literal["loss", "perplexity", "bits_per_byte"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveFunction:
    """A weighted mean over validation domains of a function of their loss."""

    metric: Metric
    validation: tuple[str, ...]
    weights: Floats
    """(validation,) summing to 1."""
    bits_per_nat: Floats
    """(validation,) bits per byte of a loss of one nat per token; ones for other metrics."""

    def value(self, losses: Floats) -> Floats:
        """(...) objective of (..., validation) losses in nats per token."""
        return self._metric(losses) @ self.weights

    def slope(self, losses: Floats) -> Floats:
        """(..., validation) derivative of the objective by each loss."""
        if self.metric == "perplexity":
            return np.exp(np.minimum(losses, _LARGEST)) * self.weights
        return np.broadcast_to(self.bits_per_nat * self.weights, losses.shape)

    def check(self, losses: Floats) -> None:
        """Refuse losses that cannot be what they are called.

        Raises:
            UserError: A perplexity is asked of losses that look like perplexities.
        """
        if self.metric == "perplexity" and losses.max(initial=0.0) > _MOST_NATS:
            raise UserError(
                f"objective.metric: perplexity of a loss of {losses.max():.4g} nats per token; if "
                "the table holds perplexities, name its columns ppl_DOMAIN"
            )

    def error(self, losses: Floats, errors: Floats) -> Floats:
        """(...) standard error of the objective when the losses err independently."""
        return np.sqrt(((self.slope(losses) * errors) ** 2).sum(-1))

    def _metric(self, losses: Floats) -> Floats:
        if self.metric == "perplexity":
            return np.exp(np.minimum(losses, _LARGEST))
        return losses * self.bits_per_nat


def objective_function(
    objective: Objective, validation: Sequence[str], bits_per_nat: Floats | None = None
) -> ObjectiveFunction:
    """Bind an objective to the validation domains that were measured.

    Args:
        objective: What the experiment asks.
        validation: Measured validation domains.
        bits_per_nat: (validation,) for the metric `bits_per_byte`.

    Raises:
        UserError: A weight for a domain that was not measured, or bits per byte without a measure
            of bytes.
    """
    asked = objective.weights or dict.fromkeys(validation, 1.0)
    unknown = sorted(set(asked) - set(validation))
    if unknown:
        raise UserError(
            f"objective.weights: {unknown} were not evaluated; "
            f"measured validation domains are {list(validation)}"
        )
    weights = np.array([asked.get(name, 0.0) for name in validation], dtype=np.float64)
    scale = np.ones(len(validation))
    if objective.metric == "bits_per_byte":
        if bits_per_nat is None or not np.isfinite(bits_per_nat[weights > 0]).all():
            raise UserError(
                "objective.metric: bits_per_byte needs runs that measured bits per byte; "
                "use loss or perplexity"
            )
        scale = np.nan_to_num(bits_per_nat, nan=1.0)
    return ObjectiveFunction(
        metric=objective.metric,
        validation=tuple(validation),
        weights=weights / weights.sum(),
        bits_per_nat=scale,
    )
