"""Checkpoints that a fit leaves aside: copies, the start of training, two of a run at one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.fit.inputs.checkpoints import copies, early_tokens
from mixscale.fit.inputs.columns import LOSSES
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.scales import earlier_checkpoints

COPY = "the next checkpoint repeats its losses"
EARLY = "an early checkpoint, above the power law of the later ones"
EARLIER = "an earlier checkpoint at the scale of "


def idle_checkpoints(
    runs: Runs,
    names: Sequence[str],
    *,
    keep_early: bool = False,
    remedy: str | None = "--keep-early keeps them",
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Rows that a fit must not count, with the reason, and what there is to say of them.

    Args:
        runs: Checkpoints of runs, with `training_runs`.
        names: By row, for the reasons.
        keep_early: Whether to count the first checkpoints too, which lie off the law of the rest.
        remedy: How a user keeps them; None where there is no way.
    """
    totals, of_run = runs.tokens.sum(-1), runs.training_runs
    reasons: dict[int, str] = {}
    remarks = []
    copied = copies(of_run, totals, runs.losses)
    reasons |= dict.fromkeys(copied, COPY)
    if copied:
        remarks.append(
            f"{_number(len(copied), 'checkpoint')} {'has' if len(copied) == 1 else 'have'} exactly "
            "the losses of the next one of the same run, as a last checkpoint that is saved twice: "
            "each is counted once."
        )
    kept = [row for row in range(len(runs)) if row not in reasons]
    few = runs.where(kept)
    early = {}
    # Only losses are known to follow a power law of the tokens.
    if all(read.metric in LOSSES for read in runs.results):
        early = early_tokens(
            few.training_runs, few.tokens.sum(-1), few.scale, few.parameters, few.losses
        )
    if early:
        sizes = np.zeros(len(runs)) if runs.parameters is None else runs.parameters
        rows = [row for row in kept if runs.scale[row] <= early.get(float(sizes[row]), 0.0)]
        remarks.append(_early_remark(early, rows, keep_early, remedy))
        reasons |= {} if keep_early else dict.fromkeys(rows, EARLY)
    kept = [row for row in range(len(runs)) if row not in reasons]
    few = runs.where(kept)
    earlier = earlier_checkpoints(few.training_runs, few.scale, few.tokens.sum(-1))
    reasons |= {kept[row]: f"{EARLIER}{names[kept[later]]}" for row, later in earlier.items()}
    return reasons, tuple(remarks)


def _early_remark(
    early: Mapping[float, float], rows: Sequence[int], keep: bool, remedy: str | None
) -> str:
    upto = ", ".join(
        f"{format_tokens(at)} tokens" + (f" ({format_tokens(size)} parameters)" if size else "")
        for size, at in sorted(early.items())
    )
    what = (
        f"{_number(len(rows), 'checkpoint')} up to {upto} lie above the power law of the later "
        "ones of their runs, as the start of training does"
    )
    if keep:
        return f"{what}: they are kept, as was asked (--keep-early)."
    return f"{what}: they are left out of the fit{f'; {remedy}' if remedy else ''}."


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
