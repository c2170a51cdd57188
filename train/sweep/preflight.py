"""What all runs of an experiment ask for, tried before the first of them."""

from __future__ import annotations

from collections.abc import Iterable

from mixscale.train.executors.preflight import check_config
from mixscale.train.run.warm_up import warm_up_warning
from mixscale.train.sweep.runs import PlannedRun


def check_before_start(runs: Iterable[PlannedRun]) -> list[str]:
    """Try the model, the tokenizer and the components that the runs share.

    Args:
        runs: Those that are to be done; they differ in their data, seeds and durations.

    Returns:
        Warnings, a line each.

    Raises:
        UserError: Something is not there, or does not take its arguments.
    """
    shortest = min(runs, key=lambda run: run.tokens, default=None)
    if shortest is None:
        return []
    check_config(shortest.config)
    warning = warm_up_warning(shortest.config)
    return [] if warning is None else [f"run {shortest.name}: {warning}"]
