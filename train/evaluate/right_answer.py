"""Bits per byte of the right answer, from the log-likelihoods that a model gave."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from lm_eval.api.task import ConfigurableTask, Task
from numpy.typing import NDArray

from mixscale.train.evaluate.task_data import right_answers

Floats = NDArray[np.float64]


def bits_by_item(
    task: Task, samples: Iterable[Mapping[str, Any]]
) -> dict[int, tuple[float, float]]:
    """Compute the bits per byte of each item's right answer, or of its text.

    `-ll / (ln 2 * bytes)`, where the bytes are those of just the text whose likelihood the model
    gave: the delimiter before an answer counts in both. Of several right answers the likeliest
    counts.

    Args:
        task: The task that was asked.
        samples: What lm-eval logged, one for each item.

    Returns:
        By item, bits per byte and the weight of the item: bytes for whole texts, 1 for answers.
        Items without a right answer are left out; tasks that generate have none.
    """
    found = {}
    for sample in samples:
        if task.OUTPUT_TYPE == "loglikelihood_rolling":
            likelihood, size = _of_text(sample)
            found[sample["doc_id"]] = (_bits(likelihood, size), float(size))
            continue
        right = _right(task, sample)
        bits = [
            _bits(_answer(sample, n)[0], scored_bytes(*sample["arguments"][n][:2])) for n in right
        ]
        if bits:
            found[sample["doc_id"]] = (min(bits), 1.0)
    return found


def scored_bytes(context: str, answer: str) -> int:
    """Count the bytes whose likelihood lm-eval gives for an answer.

    It moves white space at the end of the context to the answer before it encodes them.
    """
    moved = len(context) - len(context.rstrip())
    return len((context[len(context) - moved :] + answer).encode())


def _of_text(sample: Mapping[str, Any]) -> tuple[float, int]:
    """Give a text's likelihood and bytes, as the task counts them where it counts its own."""
    if "bits_per_byte" in sample:
        return sample["bits_per_byte"]
    return _answer(sample, 0), len(sample["arguments"][0][0].encode())


def _right(task: Task, sample: Mapping[str, Any]) -> Sequence[int]:
    if task.OUTPUT_TYPE == "loglikelihood":
        return [0]
    if task.OUTPUT_TYPE == "multiple_choice" and isinstance(task, ConfigurableTask):
        return right_answers(task, sample["doc"])
    return []


def _answer(sample: Mapping[str, Any], request: int) -> Any:
    """Give the model's first answer to a request: likelihood, whether it is the likeliest."""
    return sample["resps"][request][0]


def _bits(log_likelihood: float, size: int) -> float:
    return -log_likelihood / (math.log(2) * size)


def weighted_mean(values: Floats, weights: Floats) -> tuple[float, float | None]:
    """Average items, with the standard error of a ratio estimator (Cochran, chapter 6).

    Args:
        values: (items,).
        weights: (items,); all 1 gives the mean with the usual standard error.

    Returns:
        The mean, and its standard error; None with fewer than two items.
    """
    total, count = weights.sum(), len(values)
    mean = float((values * weights).sum() / total)
    if count < 2:
        return mean, None
    deviations = ((values - mean) * weights) ** 2
    return mean, float(np.sqrt(deviations.sum() * count / (count - 1)) / total)
