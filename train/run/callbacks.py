"""Callbacks that measure what a run record holds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from composer import Callback, Logger, State
from composer.utils import dist

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import CurvePoint
from mixscale.train.config import LOSS_METRIC
from mixscale.train.data.dataset import SAMPLE_ID, DomainDataset
from mixscale.train.evaluate.loss import SampleLoss, TokenLoss
from mixscale.train.run.resume import Identity, check_same_run


class Diverged(RuntimeError):
    """A training or validation loss became infinite or no number."""


class TokenCounter(Callback):
    """Counts the tokens of each domain that training batches really held."""

    def __init__(self, dataset: DomainDataset, sequence_length: int) -> None:
        self.dataset = dataset
        self.sequence_length = sequence_length
        # What this process saw; ranks are added up when the counts are asked for.
        self.samples = np.zeros(len(dataset.domains), np.int64)
        self.tokens = np.zeros(len(dataset.domains), np.int64)
        self.seen = np.zeros(dataset.num_samples, bool)

    def after_dataloader(self, state: State, logger: Logger) -> None:
        """Count the samples of a training batch as it arrives."""
        ids = state.batch[SAMPLE_ID].cpu().numpy()
        domains, count = self.dataset.domain_of(ids), len(self.samples)
        lengths = state.batch["attention_mask"].sum(dim=1).cpu().numpy()
        self.samples += np.bincount(domains, minlength=count)
        self.tokens += np.bincount(domains, weights=lengths, minlength=count).astype(np.int64)
        self.seen[ids] = True

    def totals(self) -> tuple[dict[str, int], dict[str, int]]:
        """Add up all ranks: seen and unique tokens by domain. Every rank must call it."""
        samples, seen = self._merged()
        unique = np.add.reduceat(seen, self.dataset.sample_offset_per_stream)
        return (
            self._tokens(samples),
            self._tokens(np.where(self.dataset.samples_per_stream > 0, unique, 0)),
        )

    def state_dict(self) -> dict[str, Any]:
        """Give Composer the counts of all ranks for a checkpoint."""
        samples, seen = self._merged()
        return {
            "domains": self._domain_sizes(),
            "samples": samples.tolist(),
            "tokens": self._sum(self.tokens).tolist(),
            "seen": np.packbits(seen.astype(bool)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: rank zero takes the totals, the others start at nothing.

        Raises:
            UserError: It is of a run over other domains.
        """
        theirs, ours = state.get("domains"), self._domain_sizes()
        # The counts are in the order of the streams.
        differ = theirs is not None and list(theirs.items()) != list(ours.items())
        if len(state["samples"]) != len(ours) or differ:
            raise UserError(
                "load_path: the checkpoint was made on other training data (samples by domain: "
                f"{theirs or 'unknown'}; now {ours}), so that its place in the data means "
                "nothing here; take its weights alone with `load_weights_only: true`"
            )
        if dist.get_global_rank() == 0:
            self.samples = np.array(state["samples"], np.int64)
            self.tokens = np.array(
                state.get("tokens", self.samples * self.sequence_length), np.int64
            )
            self.seen = np.unpackbits(state["seen"], count=len(self.seen)).astype(bool)

    def _domain_sizes(self) -> dict[str, int]:
        sizes = self.dataset.samples_per_stream.tolist()
        return dict(zip(self.dataset.domains, sizes, strict=True))

    def _merged(self) -> tuple[np.ndarray, np.ndarray]:
        if dist.get_world_size() == 1:
            return self.samples, self.seen.astype(np.int64)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        samples = torch.from_numpy(self.samples.copy()).to(device)
        seen = torch.from_numpy(self.seen.astype(np.uint8)).to(device)
        dist.all_reduce(samples, reduce_operation="SUM")
        dist.all_reduce(seen, reduce_operation="MAX")
        return samples.cpu().numpy(), seen.cpu().numpy().astype(np.int64)

    def _sum(self, counts: np.ndarray) -> np.ndarray:
        if dist.get_world_size() == 1:
            return counts
        device = "cuda" if torch.cuda.is_available() else "cpu"
        summed = torch.from_numpy(counts.copy()).to(device)
        dist.all_reduce(summed, reduce_operation="SUM")
        return summed.cpu().numpy()

    def tokens_per_sample(self) -> np.ndarray:
        """Mean tokens of a sample by domain, (domains,): the sequence length, but for texts.

        Every rank must call it.
        """
        samples, tokens = self._sum(self.samples), self._sum(self.tokens)
        return np.where(samples > 0, tokens / np.maximum(samples, 1), self.sequence_length)

    def _tokens(self, samples: np.ndarray) -> dict[str, int]:
        # Of texts the lengths of single samples are not kept: their mean stands for each.
        tokens = np.rint(samples * self.tokens_per_sample()).astype(np.int64).tolist()
        return dict(zip(self.dataset.domains, tokens, strict=True))


class EvaluationLog(Callback):
    """Keeps the losses of every evaluation: the learning curve, its last point in full."""

    def __init__(self) -> None:
        self.curve: list[CurvePoint] = []
        self.last: dict[str, tuple[float, float | None, int]] = {}
        """By domain: loss in nats, its standard error, predicted tokens."""
        self.items: dict[str, list[SampleLoss]] = {}
        """By domain, the loss of each sample."""
        self.accuracy: dict[str, tuple[float, float | None]] = {}
        """By domain, of masked models: share of the hidden tokens found, and its standard error."""

    def eval_after_all(self, state: State, logger: Logger) -> None:
        """Read the metrics of all validation domains once they are complete.

        Raises:
            Diverged: One of the losses is no finite number.
        """
        self.last, self.items, self.accuracy = {}, {}, {}
        for label, metrics in state.eval_metrics.items():
            metric = metrics.get(LOSS_METRIC)
            if isinstance(metric, TokenLoss):
                self.last[label] = metric.summary()
                self.items[label] = metric.all_items()
                accuracy = metric.accuracy(self.items[label])
                if accuracy is not None:
                    self.accuracy[label] = accuracy
        losses = {domain: values[0] for domain, values in self.last.items()}
        wrong = {domain: loss for domain, loss in losses.items() if not math.isfinite(loss)}
        if wrong:
            named = ", ".join(f"of {domain!r} is {loss}" for domain, loss in wrong.items())
            raise Diverged(f"validation loss {named} at batch {int(state.timestamp.batch)}")
        self.curve.append(CurvePoint(tokens=int(state.timestamp.token), losses=losses))

    def eval_standalone_end(self, state: State, logger: Logger) -> None:
        """Read the metrics of an evaluation before the first batch."""
        self.eval_after_all(state, logger)

    def state_dict(self) -> dict[str, Any]:
        """Give Composer the curve for a checkpoint."""
        return {
            "curve": [point.model_dump() for point in self.curve],
            "last": self.last,
            "accuracy": self.accuracy,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.curve = [CurvePoint.model_validate(point) for point in state["curve"]]
        # A run killed after its last checkpoint has nothing left to evaluate.
        self.last = dict(state["last"])
        self.accuracy = dict(state.get("accuracy", {}))


class StopWatch(Callback):
    """Separates the seconds of training from those of evaluation."""

    def __init__(self) -> None:
        self.total = 0.0
        self.evaluating = 0.0
        self._started: float | None = None
        self._before = 0.0
        self._evaluation_started = 0.0

    def batch_start(self, state: State, logger: Logger) -> None:
        """Start the clock with the first batch: what comes before is not training."""
        if self._started is None:
            self._started = time.perf_counter()

    def eval_before_all(self, state: State, logger: Logger) -> None:
        """Note when an evaluation starts."""
        self._evaluation_started = time.perf_counter()

    def eval_after_all(self, state: State, logger: Logger) -> None:
        """Add the time of an evaluation."""
        if self._started is not None:
            self.evaluating += time.perf_counter() - self._evaluation_started

    def stop(self) -> None:
        """Stop the clock."""
        running = 0.0 if self._started is None else time.perf_counter() - self._started
        self.total = self._before + running

    def state_dict(self) -> dict[str, Any]:
        """Give Composer the seconds so far for a checkpoint."""
        self.stop()
        return {"total": self.total, "evaluating": self.evaluating}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, whose tokens count too."""
        self.total = self._before = state["total"]
        self.evaluating = state["evaluating"]


class ProgressReport(Callback):
    """Calls a listener with the number of tokens done, every so often."""

    def __init__(self, listener: Callable[[int], None], interval_seconds: float) -> None:
        self.listener = listener
        self.interval = interval_seconds
        self._next = 0.0

    def batch_end(self, state: State, logger: Logger) -> None:
        """Report when it is time again."""
        now = time.perf_counter()
        if now >= self._next:
            self._next = now + self.interval
            self.listener(int(state.timestamp.token))


class DivergenceGuard(Callback):
    """Ends a run whose loss is no longer a finite number."""

    def batch_end(self, state: State, logger: Logger) -> None:
        """Look at the loss of the batch, which Composer has added up over all devices.

        So every device sees the same and stops at the same batch.
        """
        loss = float(state.total_loss_dict["loss/train/total"])
        if not math.isfinite(loss):
            raise Diverged(f"training loss is {loss} at batch {int(state.timestamp.batch)}")


class CheckpointOwner(Callback):
    """Writes into every checkpoint which run it belongs to, and looks when one is resumed.

    Args:
        identity: Of this run.
        resumes: Whether a checkpoint must be this run's own: with `autoresume`, not for `load_path`
            alone.
        place: The last checkpoint, for messages.
    """

    def __init__(self, identity: Identity, resumes: bool, place: str = "the checkpoint") -> None:
        self.identity = identity
        self.resumes = resumes
        self.place = place
        self._has_compared = False

    @staticmethod
    def identity_in(callbacks: Any) -> Identity | None:
        """Find what this callback wrote among the callbacks of a checkpoint."""
        for name, state in dict(callbacks).items():
            if name == CheckpointOwner.__qualname__:
                return json.loads(state["identity"])
        return None

    def state_dict(self) -> dict[str, Any]:
        """Give Composer the run's identity for a checkpoint."""
        return {"identity": json.dumps(self.identity, sort_keys=True)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Compare with the checkpoint's identity.

        Raises:
            UserError: `autoresume` found a checkpoint of another run.
        """
        if self.resumes:
            check_same_run(json.loads(state["identity"]), self.identity, self.place)
            self._has_compared = True

    def check_has_compared(self, state: State) -> None:
        """Refuse to go on from a checkpoint that does not tell whose it is.

        Raises:
            UserError: Another program wrote the one that `autoresume` found.
        """
        if self.resumes and state.timestamp.batch.value and not self._has_compared:
            check_same_run(None, self.identity, self.place)
