"""Runs that went wrong are left out before anything is measured or compared."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.fit.arrays import Bools
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.laws.registry import reference_law
from mixscale.fit.laws.shared.suspects import find_suspects


@dataclass(frozen=True, kw_only=True)
class SortedRuns:
    """Runs to fit, and those that no law can have come by."""

    kept: Runs
    suspects: tuple[str, ...]
    """Names of the runs left out."""


def without_suspects(runs: Runs) -> SortedRuns:
    """Leave out the runs that lie far off what all others of their scale and size say.

    One of them widens every interval and moves every comparison of laws. Where a design has but
    one run of a kind, the base or a domain's only change, it stays: laws of that design need it.
    """
    suspect = _suspects(runs)
    for row in np.flatnonzero(suspect):
        changed = runs.changed[row]
        alike = [
            name == changed and at == runs.scale[row] and not out
            for name, at, out in zip(runs.changed, runs.scale, suspect, strict=True)
        ]
        if changed != MIXTURE and not any(alike):
            suspect[row] = False
    if not suspect.any():
        return SortedRuns(kept=replace(runs, screened=True), suspects=())
    names = tuple(_name(runs, int(row)) for row in np.flatnonzero(suspect))
    return SortedRuns(kept=replace(runs.where(~suspect), screened=True), suspects=names)


def _suspects(runs: Runs) -> Bools:
    kinds, suspect = runs.kinds, np.zeros(len(runs), dtype=bool)
    for kind in np.unique(kinds):
        here = kinds == kind
        part, law = runs.where(here), reference_law()
        assert law.residuals is not None
        suspect[here] = find_suspects(law.residuals(part), part.points, part.losses)
    return suspect


def _name(runs: Runs, row: int) -> str:
    """What the table calls a run, with its tokens where one run was measured at several."""
    if not runs.training_runs:
        return runs.labels[row]
    names = [name.partition("|")[0] for name in runs.training_runs]
    if len(set(names)) < len(set(runs.training_runs)):
        return runs.labels[row]
    at = f" at {format_tokens(runs.scale[row])} tokens" if len(runs.scales) > 1 else ""
    return names[row] + at
