"""How much each result counts in the objective: weights, patterns, families of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import ReadResult
from mixscale.fit.arrays import Floats

_NAMED = 8
_SHORT = {"accuracy": "acc", "bits_per_byte": "bpb", "perplexity": "ppl"}


def spellings(name: str, result: ReadResult | None) -> tuple[str, ...]:
    """What a pattern may match of a result: its name, its column, its metric with its task."""
    if result is None:
        return (name, f"loss:{name}")
    task = name.rpartition(":")[2] if name.startswith(f"{result.metric}:") else name
    short = _SHORT.get(result.metric, result.metric)
    return (name, result.column, f"{result.metric}:{task}", f"{short}:{task}")


def matches(pattern: str, names: Sequence[str], results: Sequence[ReadResult]) -> list[int]:
    """Places of the results that a pattern names; an exact name names nothing else."""
    spelt = [spellings(name, results[i] if results else None) for i, name in enumerate(names)]
    exact = [i for i, texts in enumerate(spelt) if pattern in texts]
    return exact or [
        i for i, texts in enumerate(spelt) if any(fnmatchcase(text, pattern) for text in texts)
    ]


def objective_weights(
    objective: Objective, names: Sequence[str], results: Sequence[ReadResult] = ()
) -> Floats:
    """(validation,) weights, summing to 1.

    With families the objective is the mean of the means of the families, each with its own weight
    where `weights` names it. Tasks of a family count alike, or as `weights` says.

    Raises:
        UserError: A pattern names no result, or nothing is left to count.
    """
    given = dict(objective.weights or {})
    of_family = {name: given.pop(name) for name in objective.families if name in given}
    single = _by_result(given, names, results) if given else None
    if not objective.families:
        weights = np.ones(len(names)) if single is None else single
        return weights / weights.sum()
    weights = np.zeros(len(names))
    whole = 0.0
    for family, patterns in objective.families.items():
        members = sorted(
            {i for p in patterns for i in _named(p, names, results, f"objective.families.{family}")}
        )
        own = np.ones(len(members)) if single is None else single[members]
        if not own.sum():
            # Weights that name no task of the family say nothing about it.
            own = np.ones(len(members))
        share = of_family.get(family, 0.0 if of_family else 1.0)
        weights[members] += share * own / own.sum()
        whole += share
    return weights / whole


def uncounted(weights: Floats, names: Sequence[str]) -> tuple[str, ...]:
    """Results that take no part in the objective."""
    return tuple(name for name, weight in zip(names, weights, strict=True) if not weight)


def _by_result(
    given: Mapping[str, float], names: Sequence[str], results: Sequence[ReadResult]
) -> Floats:
    """(validation,) weights; exact names before patterns, patterns in their order."""
    weights = np.zeros(len(names))
    settled: set[int] = set()
    ordered = sorted(given, key=_is_pattern)
    for name in ordered:
        for i in _named(name, names, results, "objective.weights"):
            if i not in settled:
                weights[i] = given[name]
                settled.add(i)
    if not weights.sum():
        raise UserError("objective.weights: nothing that was measured has a weight above 0")
    return weights


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _named(
    pattern: str, names: Sequence[str], results: Sequence[ReadResult], where: str
) -> list[int]:
    found = matches(pattern, names, results)
    if not found:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise UserError(
            f"{where}: {pattern!r} was not evaluated; measured are "
            f"{', '.join(names[:_NAMED])}{more}"
        )
    return found
