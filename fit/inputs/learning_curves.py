"""The evaluations during runs, as checkpoints that laws are fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import CurvePoint, RunRecord
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.idle_checkpoints import idle_checkpoints
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.scales import cluster_scales, run_labels

KEY = "fit_checkpoints"
_AT_THE_END = 0.999
"""Part of a run's tokens from which on an evaluation is the one at its end."""


def with_checkpoints(runs: Runs, records: Sequence[RunRecord]) -> tuple[Runs, tuple[str, ...]]:
    """Add a row for each evaluation before a run's end, and tell what was left aside.

    A checkpoint has as much of its run's tokens of each domain as of all, which holds where the
    samples come in random order. Its losses have the standard errors of those at the end: they are
    of the same validation samples.

    Args:
        runs: As `runs_from_records` gives them, one row for each record.
        records: With the learning curves.

    Raises:
        UserError: Results are measured at the end of runs alone, or no run was evaluated before.
    """
    during = [_before_the_end(record) for record in records]
    if not any(during):
        raise UserError(
            f"{KEY}: no run was evaluated before its end, so there are no checkpoints to fit to; "
            "evaluation.points says how often, for runs that are still to be made"
        )
    missing = sorted(set(runs.validation) - set(next(filter(None, during))[0].losses))
    if missing or runs.results:
        names = missing or [result.column for result in runs.results]
        raise UserError(
            f"{KEY}: {', '.join(names[:3])} was measured at the end of runs alone; leave out "
            f"{KEY}, or ask for losses of validation domains"
        )
    of_row = [row for row, points in enumerate(during) for _ in points]
    points = [point for several in during for point in several]
    part = np.array(
        [p.tokens / records[row].seen_tokens for row, p in zip(of_row, points, strict=True)]
    )
    losses = np.array([[point.losses[name] for name in runs.validation] for point in points])
    together = _appended(runs, of_row, part, losses)
    idle, remarks = idle_checkpoints(together, together.labels, remedy=None)
    return together.where([row for row in range(len(together)) if row not in idle]), remarks


def _before_the_end(record: RunRecord) -> list[CurvePoint]:
    end = _AT_THE_END * record.seen_tokens
    return [p for p in record.learning_curve if 0 < p.tokens < end and _is_finite(p)]


def _is_finite(point: CurvePoint) -> bool:
    return bool(np.isfinite(list(point.losses.values())).all())


def _appended(runs: Runs, of_row: Sequence[int], part: Floats, losses: Floats) -> Runs:
    """The runs with their checkpoints after them."""
    ends = np.arange(len(runs))
    rows = [*ends.tolist(), *of_row]
    parts = np.concatenate([np.ones(len(runs)), part])
    whole = runs.where(rows)
    scale = cluster_scales(whole.scale * parts)
    return replace(
        whole,
        tokens=whole.tokens * parts[:, None],
        losses=np.concatenate([runs.losses, losses]),
        scale=scale,
        labels=run_labels(whole.named, scale, whole.parameters, whole.unique_tokens),
        training_runs=tuple(str(row) for row in rows),
    )
