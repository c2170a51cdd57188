"""What laws of the mixture see of a run: its shares, and its size where sizes differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs

_SAME_SIZE = 0.01


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Columns: the shares, then log(total / unit) where runs of one scale differ in size.

    Runs that multiply one domain's tokens change the total too; without the column the domain
    would get the credit of the extra training.
    """

    unit: float
    with_total: bool

    def __call__(self, points: Points) -> Floats:
        """(points, columns)."""
        shares, total = points.shares, points.totals[:, None]
        return np.hstack([shares, np.log(total / self.unit)]) if self.with_total else shares

    def count(self, runs: Runs) -> int:
        """The number of columns for some runs."""
        return len(runs.domains) + self.with_total

    def chain(self, by_column: Floats, point: Points) -> Floats:
        """Turn (rows, columns) derivatives at one point into (rows, domains) ones by tokens."""
        total, shares = float(point.totals[0]), point.shares[0]
        by_share = by_column[:, : len(shares)]
        slopes = by_share - (by_share @ shares)[:, None]
        if self.with_total:
            slopes = slopes + by_column[:, -1:]
        return slopes / total


def inputs_for(runs: Runs) -> Inputs:
    """Choose the columns for some runs."""
    logs = np.log(runs.tokens.sum(-1))
    return Inputs(unit=float(np.exp(logs.mean())), with_total=bool(np.ptp(logs) > _SAME_SIZE))
