"""The validation loss of a domain with its standard error."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from torchmetrics import Metric

IGNORED = -100


class TokenLoss(Metric):
    """Mean cross-entropy in nats per token, and how sure the validation sample makes it.

    The standard error treats the samples, not the tokens, as independent draws: neighbouring
    tokens come from the same document.
    """

    full_state_update = False
    loss_sum: torch.Tensor
    tokens: torch.Tensor
    mean_sum: torch.Tensor
    square_sum: torch.Tensor
    samples: torch.Tensor

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        for name in ("loss_sum", "tokens", "mean_sum", "square_sum", "samples"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch.

        Args:
            logits: (batch, sequence, vocabulary).
            labels: (batch, sequence), already shifted; -100 where nothing is predicted.
        """
        losses = functional.cross_entropy(
            logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        predicted = (labels != IGNORED).sum(dim=1)
        sums = losses.sum(dim=1, dtype=torch.float64)
        means = sums / predicted.clamp(min=1)
        self.loss_sum += sums.sum()
        self.tokens += predicted.sum()
        self.mean_sum += means.sum()
        self.square_sum += means.square().sum()
        self.samples += len(means)

    def compute(self) -> torch.Tensor:
        """Return the mean loss, nats per token."""
        return self.loss_sum / self.tokens

    def summary(self) -> tuple[float, float | None, int]:
        """Add up all ranks: mean loss, its standard error, predicted tokens.

        The standard error is None with fewer than two samples. Every rank must call it.
        """
        with self.sync_context():
            mean = (self.loss_sum / self.tokens).item()
            return mean, self._standard_error(), int(self.tokens.item())

    def _standard_error(self) -> float | None:
        count = self.samples.item()
        if count < 2:
            return None
        mean = self.mean_sum.item() / count
        variance = max(self.square_sum.item() / count - mean**2, 0.0) * count / (count - 1)
        return (variance / count) ** 0.5
