"""What all runs of an experiment ask for, tried before the first of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mixscale.train.executors.preflight import check_config
from mixscale.train.run.machine import without_effect
from mixscale.train.run.memory import MemoryNeed
from mixscale.train.run.warm_up import warm_up_warning
from mixscale.train.sweep.runs import PlannedRun


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was found before the first run."""

    warnings: Sequence[str] = ()
    """A line each."""
    memory: Sequence[MemoryNeed] = ()
    """Of a run of each model; without those that cannot be traced."""


def check_before_start(runs: Iterable[PlannedRun], gpus: int | None) -> Preflight:
    """Try the model, the tokenizer and the components that the runs share.

    Args:
        runs: Those that are to be done; they differ in their data, seeds and durations.
        gpus: How many GPUs there are for them; None when that is not known.

    Raises:
        UserError: Something is not there, or does not take its arguments.
    """
    by_length = sorted(runs, key=lambda run: run.tokens)
    # A short run may have less than one batch.
    longest = _one_of_each_model(reversed(by_length))
    needs = [check_config(run.config, bool(gpus)) for run in longest]
    idle = {line for run in longest if (line := without_effect(run.config, gpus, 1)) is not None}
    warned = {
        run.name: warning
        for run in _one_of_each_model(by_length)
        if (warning := warm_up_warning(run.config)) is not None
    }
    return Preflight(
        warnings=[*(f"run {name}: {warning}" for name, warning in warned.items()), *sorted(idle)],
        memory=[need for need in needs if need is not None],
    )


def _one_of_each_model(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """Take the first run of every model."""
    found: dict[str, PlannedRun] = {}
    for run in runs:
        model = json.dumps(run.config.model.model_dump(mode="json"), sort_keys=True)
        found.setdefault(model, run)
    return list(found.values())
