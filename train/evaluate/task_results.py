"""What lm-eval reports on a task, as named metrics with unit, direction and items."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from lm_eval.api.group import Group
from lm_eval.api.metrics import (
    acc_all,
    aggregate_subtask_metrics,
    f1_score,
    mean,
    nanmean,
    perplexity,
    pooled_sample_stderr,
    unweighted_mean_stderr,
    weighted_perplexity,
)
from lm_eval.api.task import Task

from mixscale.contracts.evaluation import Evaluation, ItemValue
from mixscale.contracts.metrics import MEASURES, measure_of
from mixscale.train.evaluate.right_answer import bits_by_item, weighted_mean
from mixscale.train.evaluate.task_settings import item_sha256
from mixscale.train.evaluate.tasks import LoadedTask, LoadedTasks

BITS = "bpb"
_STDERR = "_stderr"
_LARGEST_NATS = math.log(sys.float_info.max)


def guard_overflow(task: Task) -> None:
    """Let a perplexity that is too large for a number be the largest there is, not an error."""
    aggregations = _aggregations(task)
    for name, function in list(aggregations.items()):
        if function in (perplexity, weighted_perplexity):
            aggregations[name] = _largest_number


def _largest_number(values: Sequence[Any]) -> float:
    mean_nats, _ = _nats(values)
    return math.exp(mean_nats) if mean_nats < _LARGEST_NATS else sys.float_info.max


def _nats(values: Sequence[Any]) -> tuple[float, float | None]:
    """Average nats per word, byte or answer, with the standard error."""
    pairs = [value if isinstance(value, tuple | list) else (value, 1) for value in values]
    likelihoods, sizes = (np.array(column, float) for column in zip(*pairs, strict=True))
    return weighted_mean(-likelihoods / sizes, sizes)


def _perplexity_error(values: Sequence[Any]) -> float | None:
    """Carry the standard error of the nats over to their exponential (delta method)."""
    mean_nats, error = _nats(values)
    return None if error is None or mean_nats >= _LARGEST_NATS else math.exp(mean_nats) * error


def evaluations_of(
    loaded: LoadedTask, reported: Mapping[str, Any], limit: float | None, tokens: int | None
) -> tuple[list[Evaluation], list[ItemValue]]:
    """Read the result of one task.

    Args:
        loaded: The task.
        reported: What `lm_eval.evaluator.evaluate` returned.
        limit: Of its items.
        tokens: Training tokens of the model, where known.
    """
    task, name = loaded.task, loaded.name
    samples = reported["samples"][name]
    shots = task.get_config("num_fewshot") or 0
    common = {"task": name, "limit": limit, "tokens": tokens, "num_fewshot": shots,
              "settings": loaded.settings}  # fmt: skip
    found: list[Evaluation] = []
    items: list[ItemValue] = []
    hashes = {sample["doc_id"]: item_sha256(sample["doc"], sample["target"]) for sample in samples}
    for metric, kind, value, error in _numbers(reported["results"][name]):
        plain = metric_name(metric, kind)
        if metric == "bits_per_byte" and task.OUTPUT_TYPE == "loglikelihood_rolling":
            continue  # `bpb` is the same, with its standard error
        of_items = {
            sample["doc_id"]: sample[metric]
            for sample in samples
            if sample["filter"] == kind and metric in sample
        }
        if _aggregations(task).get(metric) is _largest_number:
            error = _perplexity_error(list(of_items.values()))
        found.append(
            Evaluation(
                metric=plain,
                value=value,
                stderr=error,
                items=len(of_items) or len(hashes),
                unit=_unit(task, metric, plain, of_items.values()),
                higher_is_better=_direction(task, metric, plain),
                **common,
            )
        )
        if _is_mean(task, metric):
            items += _item_values(name, plain, of_items, hashes)
    bits, bits_items = _bits(task, name, samples, hashes, common)
    return [*found, *bits], [*items, *bits_items]


def _bits(
    task: Task,
    name: str,
    samples: Sequence[Mapping[str, Any]],
    hashes: Mapping[int, str],
    common: Mapping[str, Any],
) -> tuple[list[Evaluation], list[ItemValue]]:
    """Give the bits per byte of the right answers, where the task has any."""
    first = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
    bits = bits_by_item(task, first)
    if not bits:
        return [], []
    values, weights = (np.array(column) for column in zip(*bits.values(), strict=True))
    value, error = weighted_mean(values, weights)
    measure = MEASURES[BITS]
    whole = Evaluation(
        metric=BITS,
        value=value,
        stderr=error,
        items=len(bits),
        unit=measure.unit,
        higher_is_better=measure.higher_is_better,
        **common,
    )
    items = [
        ItemValue(task=name, metric=BITS, item=item, item_sha256=hashes[item], value=value,
                  weight=weight)
        for item, (value, weight) in bits.items()
    ]  # fmt: skip
    return [whole], items


def left_out(reported: Mapping[str, Any]) -> list[str]:
    """Name the metrics of a task that are no finite number, which a record cannot hold."""
    return [
        key.partition(",")[0]
        for key, value in reported.items()
        if "," in key
        and _STDERR not in key
        and isinstance(value, float | np.floating)
        and not math.isfinite(value)
    ]


def _numbers(reported: Mapping[str, Any]) -> list[tuple[str, str, float, float | None]]:
    """List metric, filter, value and standard error; what is no number is no metric."""
    found = []
    for key, value in reported.items():
        metric, comma, kind = key.partition(",")
        if not comma or metric.endswith(_STDERR) or not isinstance(value, int | float | np.number):
            continue
        if not math.isfinite(value):
            continue
        error = reported.get(f"{metric}{_STDERR},{kind}")
        if not isinstance(error, int | float | np.number) or not math.isfinite(error):
            error = None
        found.append((metric, kind, float(value), None if error is None else float(error)))
    return found


def metric_name(metric: str, kind: str) -> str:
    """Name a metric after a filter of lm-eval, with what a column's name can hold."""
    whole = metric if kind == "none" else f"{metric}_{kind}"
    return re.sub(r"[^a-z0-9]+", "_", whole.lower().replace("@", "_at_")).strip("_")


def _aggregations(task: Task) -> dict[str, Any]:
    found: Any = task.aggregation()
    return found


def _unit(task: Task, metric: str, plain: str, values: Collection[Any]) -> str:
    """Give the unit that a metric's name says; but some tasks count their fractions in per cent.

    By what single items have, not by the value of the run, so that runs of one task agree.
    """
    measure = measure_of(plain)
    if measure is None:
        return ""
    if measure.unit == "fraction" and _aggregations(task).get(metric) not in (f1_score, acc_all):
        numbers = [value for value in values if isinstance(value, int | float | np.number)]
        are_parts = len(numbers) == len(values) and all(0 <= number <= 1 for number in numbers)
        return "fraction" if _is_mean(task, metric) and are_parts else ""
    return measure.unit


def _direction(task: Task, metric: str, plain: str) -> bool | None:
    directions: Any = task.higher_is_better()
    said = directions.get(metric)
    if said is not None:
        return bool(said)
    measure = measure_of(plain)
    return None if measure is None else measure.higher_is_better


def _is_mean(task: Task, metric: str) -> bool:
    return _aggregations(task).get(metric, mean) in (mean, nanmean)


def _item_values(
    task: str, metric: str, values: Mapping[int, Any], hashes: Mapping[int, str]
) -> list[ItemValue]:
    return [
        ItemValue(task=task, metric=metric, item=item, item_sha256=hashes[item],
                  value=float(value), weight=1.0)
        for item, value in values.items()
        if isinstance(value, int | float | np.number)
    ]  # fmt: skip


def group_evaluations(loaded: LoadedTasks, found: Sequence[Evaluation]) -> list[Evaluation]:
    """Sum up the tasks of each group as it says, and their bits per byte the same way."""
    summed = []
    for group in loaded.groups:
        members = {task.task_name for task in group.get_all_tasks()}
        asked = {
            config.metric: config.weight_by_size for config in group.aggregate_metric_list or ()
        }
        if not asked:
            continue
        weighs = asked | {BITS: next(iter(asked.values()))}
        of_group = [one for one in found if one.task in members]
        for metric in dict.fromkeys(one.metric for one in of_group):
            wanted = [name for name in weighs if metric == name or metric.startswith(f"{name}_")]
            if wanted:
                chosen = [one for one in of_group if one.metric == metric]
                summed.append(_summed(group, metric, chosen, weighs[max(wanted, key=len)]))
    return summed


def _summed(group: Group, metric: str, parts: Sequence[Evaluation], by_size: bool) -> Evaluation:
    sizes = [part.items for part in parts]
    errors = [part.stderr for part in parts if part.stderr is not None]
    error = None
    if len(errors) == len(parts):
        error = pooled_sample_stderr(errors, sizes) if by_size else unweighted_mean_stderr(errors)
    return parts[0].model_copy(
        update={
            "task": group.name,
            "metric": metric,
            "value": float(aggregate_subtask_metrics([p.value for p in parts], sizes, by_size)),
            "stderr": None if error is None else float(error),
            "items": sum(sizes),
            "settings": item_sha256(*(part.settings for part in parts))[:12],
        }
    )
