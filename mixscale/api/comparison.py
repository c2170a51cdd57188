"""Two runs compared: every metric with an interval, and the tokens that one of them saves."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixscale.contracts.evaluation import Evaluation
from mixscale.contracts.evaluation_items import read_items
from mixscale.contracts.metrics import MEASURES
from mixscale.contracts.run_record import RESULT, RunRecord, find_run, read_record

Floats = NDArray[np.float64]
Items = Mapping[str, Mapping[tuple[int, str], tuple[float, float]]]
"""By `metric:task`, then by number and hash of the item: value and weight."""
_PathLike = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class MetricDifference:
    """How two runs differ in one metric."""

    name: str
    """`metric:task`, or `metric:domain`."""
    unit: str
    higher_is_better: bool | None
    first: float
    second: float
    difference: float
    """Second less first."""
    standard_error: float | None
    low: float | None
    high: float | None
    """The interval that holds the true difference, over items like these, with 95 %."""
    shared_items: int | None
    """Items or samples that both were asked; None when they are not known: the interval then takes
    each run's to be its own, and is too wide where they were the same."""

    @property
    def better(self) -> Literal["first", "second"] | None:
        """Which run is better beyond doubt; None where the interval holds 0."""
        if self.low is None or self.high is None or self.higher_is_better is None:
            return None
        if self.low <= 0 <= self.high:
            return None
        return "second" if (self.low > 0) == self.higher_is_better else "first"


@dataclass(frozen=True, kw_only=True)
class TokensSaved:
    """How much sooner one run reaches what the other reaches at its end."""

    domain: str
    """A validation domain, or `mean of` all of them where both runs have the same."""
    run: Literal["first", "second"]
    """The one that is sooner there."""
    target_loss: float
    """Final loss of the other, nats per token."""
    tokens: float
    """Training tokens at which the loss is reached, on straight lines between evaluations."""
    other_tokens: int
    """Training tokens of the other at its end."""

    @property
    def share(self) -> float:
        """The share of the other's tokens that is not needed."""
        return 1 - self.tokens / self.other_tokens


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs compared."""

    first: str
    second: str
    differences: Sequence[MetricDifference]
    tokens_saved: Sequence[TokensSaved]
    warnings: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Write the comparison as plain values."""
        return {
            "first": self.first,
            "second": self.second,
            "differences": [asdict(one) | {"better": one.better} for one in self.differences],
            "tokens_saved": [asdict(one) | {"share": one.share} for one in self.tokens_saved],
            "warnings": list(self.warnings),
        }


def compare(
    first: _PathLike, second: _PathLike, *, out: Sequence[_PathLike] | _PathLike = "."
) -> Comparison:
    """Compare two runs in every metric that both have.

    Where both were asked the same items, the differences are taken item by item, which leaves the
    difficulty of the items out of the interval. It speaks of other items, not of other training
    seeds.

    Args:
        first: Id, folder or record of a run, say the one before.
        second: Of the other.
        out: Folders with `runs/`, in which ids are looked for: shard sets, or others.

    Raises:
        UserError: A run is not there, or a file of its items is damaged.
    """
    folders = [out] if isinstance(out, str | os.PathLike) else list(out)
    runs = [find_run(Path(run), [Path(one) for one in folders]) for run in (first, second)]
    one, other = (read_record(run / RESULT) for run in runs)
    values = [_metrics(record) for record in (one, other)]
    items = [_items(run, record) for run, record in zip(runs, (one, other), strict=True)]
    shared = [name for name in values[0] if name in values[1]]
    return Comparison(
        first=one.run_id,
        second=other.run_id,
        differences=[
            _difference(values[0][name], values[1][name], items[0].get(name), items[1].get(name))
            for name in shared
        ],
        tokens_saved=tokens_saved(one, other),
        warnings=_warnings(one, other, shared),
    )


def _metrics(record: RunRecord) -> dict[str, Evaluation]:
    """List a run's metrics; perplexity says what the loss says, without pairs."""
    found = []
    for domain, loss in record.evaluation.items():
        found.append(_of_domain(domain, "loss", loss.loss_nats, loss.standard_error))
        if loss.bits_per_byte is not None and loss.loss_nats:
            error = loss.standard_error
            scaled = None if error is None else error * loss.bits_per_byte / loss.loss_nats
            found.append(_of_domain(domain, "bpb", loss.bits_per_byte, scaled))
        if loss.masked_accuracy is not None:
            error = loss.masked_accuracy_error
            found.append(_of_domain(domain, "masked_acc", loss.masked_accuracy, error))
    return {one.name: one for one in (*found, *record.evaluations)}


def _of_domain(domain: str, metric: str, value: float, error: float | None) -> Evaluation:
    return Evaluation(
        task=domain,
        metric=metric,
        value=value,
        stderr=error,
        items=0,
        unit=MEASURES[metric].unit,
        higher_is_better=MEASURES[metric].higher_is_better,
        settings="",
    )


def _items(run: Path, record: RunRecord) -> Items:
    found: dict[str, dict[tuple[int, str], tuple[float, float]]] = {}
    for row in read_items(run, {one.settings for one in record.evaluations}).to_pylist():
        of_metric = found.setdefault(f"{row['metric']}:{row['task']}", {})
        of_metric[row["item"], row["item_sha256"]] = (row["value"], row["weight"])
    return found


def _difference(
    one: Evaluation,
    other: Evaluation,
    items: Mapping[tuple[int, str], tuple[float, float]] | None,
    others: Mapping[tuple[int, str], tuple[float, float]] | None,
) -> MetricDifference:
    pairs = (
        [(*items[key], others[key][0]) for key in items if key in others]
        if (items and others)
        else []
    )
    if len(pairs) > 1:
        first, weights, second = (np.array(column) for column in zip(*pairs, strict=True))
        difference, error = paired_difference(first, second, weights)
        means = [float(np.average(values, weights=weights)) for values in (first, second)]
        half = float(_quantile(len(pairs) - 1)) * error
    else:
        means = [one.value, other.value]
        difference = other.value - one.value
        error = None
        if one.stderr is not None and other.stderr is not None:
            error = float(np.hypot(one.stderr, other.stderr))
        half = None if error is None else float(_quantile(None)) * error
    return MetricDifference(
        name=one.name,
        unit=one.unit,
        higher_is_better=one.higher_is_better,
        first=means[0],
        second=means[1],
        difference=difference,
        standard_error=error,
        low=None if half is None else difference - half,
        high=None if half is None else difference + half,
        shared_items=len(pairs) if len(pairs) > 1 else None,
    )


def paired_difference(first: Floats, second: Floats, weights: Floats) -> tuple[float, float]:
    """Average the differences of pairs, with the standard error of a ratio estimator.

    Args:
        first: (items,).
        second: (items,).
        weights: (items,); all 1 gives the mean difference with the error of a paired t test.

    Returns:
        The weighted mean of second less first, and its standard error.
    """
    differences, count, total = second - first, len(first), weights.sum()
    mean = float((weights * differences).sum() / total)
    spread = (weights * (differences - mean)) ** 2
    return mean, float(np.sqrt(spread.sum() * count / (count - 1)) / total)


def _quantile(degrees: int | None) -> float:
    """Give the 97.5 % point of Student's t; of the normal distribution without degrees."""
    from scipy import stats

    return float(stats.norm.ppf(0.975) if degrees is None else stats.t.ppf(0.975, degrees))


def tokens_saved(one: RunRecord, other: RunRecord) -> list[TokensSaved]:
    """Find where the learning curve of each run reaches the other's final loss.

    Only where a curve falls through it between two evaluations: nothing is drawn out beyond the
    first and the last.

    Args:
        one: A run.
        other: Another, on the same validation samples.

    Returns:
        For each validation domain of both and for their mean, the run that is sooner, if one is.
    """
    if one.shardset_sha256 != other.shardset_sha256:
        return []
    curves = [_curves(record) for record in (one, other)]
    found = []
    for domain in (name for name in curves[0] if name in curves[1]):
        both = [curve[domain] for curve in curves]
        for run, (mine, theirs) in zip(("first", "second"), (both, both[::-1]), strict=True):
            end, target = theirs[-1]
            at = _reaches(mine, target)
            if at is not None and at < end:
                found.append(
                    TokensSaved(domain=domain, run=run, target_loss=target, tokens=at,
                                other_tokens=round(end))
                )  # fmt: skip
    return found


def _curves(record: RunRecord) -> dict[str, list[tuple[float, float]]]:
    """By domain, tokens and loss of each evaluation; the mean over domains last."""
    points = sorted(record.learning_curve, key=lambda point: point.tokens)
    domains = [name for name in record.evaluation if all(name in p.losses for p in points)]
    if not points or not domains:
        return {}
    curves = {name: [(float(p.tokens), p.losses[name]) for p in points] for name in domains}
    if len(domains) > 1:
        key = f"mean of {', '.join(sorted(domains))}"
        curves[key] = [
            (float(p.tokens), float(np.mean([p.losses[name] for name in domains]))) for p in points
        ]
    return curves


def _reaches(curve: Sequence[tuple[float, float]], target: float) -> float | None:
    """Find the tokens at which a curve first comes down to a loss."""
    for (start, above), (end, below) in itertools.pairwise(curve):
        if above > target >= below:
            return start + (end - start) * (above - target) / (above - below)
    return None


def _warnings(one: RunRecord, other: RunRecord, shared: Sequence[str]) -> list[str]:
    found = []
    if not shared:
        found.append(f"the runs have no metric in common ({one.status} and {other.status})")
    if one.shardset_sha256 != other.shardset_sha256:
        found.append(
            "the runs are of different shard sets: a loss in nats per token compares only with the "
            "same tokenizer and validation samples"
        )
    for name in shared:
        both = [
            next((e for e in record.evaluations if e.name == name), None) for record in (one, other)
        ]
        if both[0] and both[1] and both[0].settings != both[1].settings:
            found.append(
                f"{name}: the runs were asked it in different ways (items, few-shot, task)"
            )
    return found
