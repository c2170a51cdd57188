"""The validation loss of a domain with its standard error."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from composer.utils import dist
from torch.nn import functional
from torchmetrics import Metric

IGNORED = -100


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropy of every token.

    Args:
        logits: (batch, sequence, vocabulary).
        labels: (batch, sequence), already shifted; -100 where nothing is predicted.

    Returns:
        (batch, sequence) float32 in nats; 0 where nothing is predicted.
    """
    # Over the last axis: over a middle one it takes six times as long on a CPU.
    return functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(labels.shape)


class SampleLoss(NamedTuple):
    """The loss of one sample."""

    sha256: str
    """Hash of the tokens that are predicted, and of their places."""
    nats: float
    """Mean cross-entropy, nats per predicted token."""
    tokens: int
    """Predicted tokens."""
    right: int | None = None
    """Of these, how many are the likeliest in the model's eyes; None where that is not asked."""


class TokenLoss(Metric):
    """Mean cross-entropy in nats per predicted token, and how sure the sample makes it.

    The standard error treats the samples, not the tokens, as independent draws: neighbouring
    tokens come from the same document. Samples may predict different numbers of tokens (masked
    language models do), so the mean is a ratio of sums, with the standard error of a ratio
    estimator (Cochran, Sampling Techniques, chapter 6).
    """

    full_state_update = False
    loss_sum: torch.Tensor
    tokens: torch.Tensor
    loss_square: torch.Tensor
    loss_tokens: torch.Tensor
    tokens_square: torch.Tensor
    samples: torch.Tensor

    def __init__(self, *, counts_right: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.counts_right = counts_right
        for name in (
            "loss_sum", "tokens", "loss_square", "loss_tokens", "tokens_square", "samples",
        ):  # fmt: skip
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.items: list[SampleLoss] = []

    def reset(self) -> None:
        """Forget what was added."""
        super().reset()
        self.items = []

    def update(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch.

        Args:
            logits: (batch, sequence, vocabulary).
            labels: (batch, sequence), already shifted; -100 where nothing is predicted.
        """
        losses = token_losses(logits, labels)
        predicted = (labels != IGNORED).sum(dim=1, dtype=torch.float64)
        sums = losses.sum(dim=1, dtype=torch.float64)
        self.loss_sum += sums.sum()
        self.tokens += predicted.sum()
        self.loss_square += sums.square().sum()
        self.loss_tokens += (sums * predicted).sum()
        self.tokens_square += predicted.square().sum()
        self.samples += len(sums)
        right = [None] * len(sums)
        if self.counts_right:
            right = (logits.argmax(dim=-1) == labels).sum(dim=1).tolist()
        rows, counts = labels.cpu().numpy(), predicted.tolist()
        for row, nats, count, found in zip(rows, sums.tolist(), counts, right, strict=True):
            if count:
                sha256 = hashlib.sha256(row.tobytes()).hexdigest()[:32]
                self.items.append(SampleLoss(sha256, nats / count, int(count), found))

    def compute(self) -> torch.Tensor:
        """Return the mean loss, nats per token."""
        return self.loss_sum / self.tokens

    def summary(self) -> tuple[float, float | None, int]:
        """Add up all ranks: mean loss, its standard error, predicted tokens.

        The standard error is None with fewer than two samples. Every rank must call it.
        """
        with self.sync_context():
            mean = (self.loss_sum / self.tokens).item()
            return mean, self._standard_error(mean), int(self.tokens.item())

    def all_items(self) -> list[SampleLoss]:
        """Put the samples of all ranks together. Every rank must call it."""
        gathered = dist.all_gather_object(self.items)
        return [item for items in gathered for item in items]

    @staticmethod
    def accuracy(items: Sequence[SampleLoss]) -> tuple[float, float | None] | None:
        """Return the share of predicted tokens that are right, with its standard error.

        None where right tokens were not counted. The error is that of a ratio estimator over
        samples, None with fewer than two.
        """
        counted = [(item.right, item.tokens) for item in items if item.right is not None]
        if not counted:
            return None
        right, tokens = torch.tensor(counted, dtype=torch.float64).T
        share = right.sum() / tokens.sum()
        if len(counted) < 2:
            return share.item(), None
        spread = (right - share * tokens).square().sum() * len(counted) / (len(counted) - 1)
        return share.item(), (spread.sqrt() / tokens.sum()).item()

    def _standard_error(self, mean: float) -> float | None:
        count, tokens = self.samples.item(), self.tokens.item()
        if count < 2:
            return None
        deviations = (
            self.loss_square - 2 * mean * self.loss_tokens + mean**2 * self.tokens_square
        ).item()
        return (max(deviations, 0.0) * count / (count - 1)) ** 0.5 / tokens
