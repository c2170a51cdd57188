"""Runs of models of several sizes, and what a law sees of them."""

from __future__ import annotations

from collections.abc import Iterable

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.target import Target
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.scales import SAME_SCALE
from mixscale.fit.laws.base import Law
from mixscale.fit.laws.registry import law_named, law_names


def visible_runs(runs: Runs, law: Law) -> Runs:
    """The runs that a law can be fitted to.

    A law that does not see the size of a model would take what a larger one gains for the doing of
    its mixture or tokens, so it gets the runs of the largest size alone.
    """
    return runs if law.sees_parameters else runs.of_largest_size


def comparable_runs(runs: Runs) -> Runs:
    """The runs that laws are compared by: all where any law sees sizes, else the largest size's."""
    if len(runs.sizes) < 2:
        return runs
    seen = any(law_named(name).sees_parameters for name in law_names())
    return runs if seen else runs.of_largest_size


def size_remarks(runs: Runs, law: Law) -> tuple[str, ...]:
    """Say which runs a law is not fitted to."""
    fitted = visible_runs(runs, law)
    if len(fitted) == len(runs):
        return ()
    sizes = ", ".join(format_tokens(size) for size in runs.sizes[:-1])
    return (
        f"Law {law.name} does not see the size of models: it is fitted to the {len(fitted)} runs "
        f"of the largest ({format_tokens(runs.sizes[-1])} parameters), and the "
        f"{len(runs) - len(fitted)} of {sizes} take no part.",
    )


def check_sizes(runs: Runs, targets: Iterable[int | Target]) -> None:
    """Refuse targets with a model smaller than those of all runs.

    Raises:
        UserError: There is one: no law is asked below its runs, and a letter may be wrong.
    """
    if not len(runs.sizes):
        return
    smallest = float(runs.sizes[0])
    for target in targets:
        size = target.parameters if isinstance(target, Target) else None
        if size is not None and size < smallest * (1 - SAME_SCALE):
            raise UserError(
                f"target {target}: smaller than the models of all runs, which have "
                f"{format_tokens(smallest)} parameters or more; give the size of the model that is "
                "to be trained, such as 7B"
            )
