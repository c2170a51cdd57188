"""How far from the runs a mixture may lie that is advised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.uncertainty.model_error import nearest

_FEWEST = 4
"""Mixtures from which their distances tell something."""
_STEPS = 20
"""Parts of the way to a mixture that are tried."""


@dataclass(frozen=True, kw_only=True)
class NearRuns:
    """Mixtures between those that were run, or about as near to some as they are to each other."""

    mixtures: Floats
    """(mixtures, domains) shares of those that were run, each once."""
    typical: float
    """Median distance of one of them from the three closest others, in roots of shares."""
    factor: float
    """How many times that distance, and how many times as far from the middle of all as mixtures
    between them."""

    @classmethod
    def of(cls, runs: Runs, factor: float) -> NearRuns | None:
        """None for few mixtures, and runs around a base, whose law sees each domain alone."""
        if MIXTURE not in runs.changed:
            return None
        rows = list({name: row for row, name in enumerate(runs.mixtures)}.values())
        if len(rows) < _FEWEST:
            return None
        mixtures = runs.shares[rows]
        roots = np.sqrt(mixtures)
        apart = [nearest(roots[[k]], np.delete(roots, k, 0))[0] for k in range(len(roots))]
        return cls(mixtures=mixtures, typical=float(np.median(apart)), factor=factor)

    def holds(self, shares: Floats) -> bool:
        """Whether (domains,) shares lie near the runs, or between them."""
        return self.distance(shares) <= self.factor or self._between(shares)

    def distance(self, shares: Floats) -> float:
        """Distance of (domains,) shares from the three closest mixtures, by the typical one."""
        far = nearest(np.sqrt(np.maximum(shares, 0.0))[None], np.sqrt(self.mixtures))[0]
        return float(far) / max(self.typical, 1e-12)

    def part_of_way(self, start: Floats, towards: Floats) -> float:
        """How far to go from (domains,) shares towards others: to the last ones near the runs.

        The mixture in use can be kept, so it and what is as near as it count as near. 1 where the
        end is near.
        """
        farthest = max(self.factor, self.distance(start))
        for part in np.linspace(1.0, 0.0, _STEPS, endpoint=False).tolist():
            shares = start + part * (towards - start)
            if self.distance(shares) <= farthest or self._between(shares):
                return part
        return 0.0

    def _between(self, shares: Floats) -> bool:
        """Whether shares lie in the convex hull of the mixtures, enlarged from their mean."""
        # Imported where it is needed, as everywhere in fit: loading it takes a third of a second.
        from scipy.optimize import linprog

        middle = self.mixtures.mean(0)
        inner = middle + (shares - middle) / self.factor
        count = len(self.mixtures)
        found = linprog(
            np.zeros(count),
            A_eq=np.vstack([self.mixtures.T, np.ones(count)]),
            b_eq=np.append(inner, 1.0),
            bounds=(0, None),
            method="highs",
        )
        return found.status == 0
