"""What a law gets wrong of the way from the measured runs to larger ones.

No run tells of a budget, a model or a number of epochs beyond the largest. Parts of the way that
the law predicts stand for it: what it gets wrong of all mixtures alike, what it gets wrong of one
mixture and not of another, and what it says of repeated text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixscale.fit.arrays import Floats, Ints
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.scales import cluster_scales
from mixscale.fit.laws.shared.repetition import REPEATED

_COMMON, _APART, _APART_SHARED = 0.25, 0.15, 0.1
"""Deviations of what a law of two scales or more gets wrong of the way to a larger one, as parts of
the change it predicts: what all mixtures share, and what they do not, which mixtures that were
measured at two scales tell better. Chosen on SlimPajama 122M and RedPajama 70M;
`benchmarks/coverage.py` shows them on the others."""
_COMMON_SIZE, _APART_SIZE, _APART_SHARED_SIZE = 0.12, 0.05, 0.03
"""The same of the way to a larger model. Of what all share, the draws hold what the prior of the
size's exponent leaves open; laws missed 0 to 17 % of the way on SlimPajama and RedPajama. What
mixtures do not share is small there: from 122M to 310M and from 70M to 160M parameters the
differences between mixtures, noise and all, are as wrong as those of left-out mixtures of one
size."""
_ONE_SCALE = 2.0
"""How much more that is where one scale was measured, but for what mixtures do not share of the way
to a larger model: that is as small from one size alone."""
_APART_COUNTS = 4
"""Mixtures at two scales that `_APART` counts for."""
REPEATS = 1.0
"""Deviation of the logarithm of what repeats cost beyond what was measured, by what the law says of
it: five times as much or as little are the ends of 90 %. Laws fitted to models below 1B parameters
say a fifth of what up to 16 epochs cost the larger ones (Muennighoff et al.)."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a law gets wrong of the way from the largest measured runs to larger ones."""

    largest: float
    """Tokens or parameters of the largest measured runs; infinite where they are not known."""
    common: float
    """Deviation of what all mixtures share, as part of the change that the law predicts."""
    apart: float
    """Of what they do not share, for a way of one stride."""
    apart_shared: float
    """The same without the noise of single runs."""
    stride: float | None
    """Mean change of the objective from one measured scale or size to the next; None where there
    is one."""

    def drift(self, way: Floats, apart: float) -> Floats:
        """(points,) deviation of what mixtures do not share of a way.

        It is the part `apart` of a way of one stride, and grows beyond that as a random walk does:
        in proportion to the way, intervals held every difference after a way of 0.3 nats.
        """
        if not self.stride:
            return apart * way
        return apart * np.sqrt(way * np.minimum(way, self.stride))

    def factor(self, measured: Floats) -> Floats:
        """(points,) factors that bring tokens or parameters back to the largest measured."""
        beyond = measured > self.largest * 1.001
        return np.where(beyond, self.largest / np.where(beyond, measured, 1.0), 1.0)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Runs that were left out, and what came of them."""

    runs: Runs
    missed: Floats
    """(runs,) measured objective less that of a fit without the run's mixture."""
    predicted: Floats
    """(runs,) objective under the law of all runs."""
    own: Floats
    """(runs,) variance that is the runs' own noise."""

    def of_budgets(self) -> Reach:
        """What the largest models tell of larger token budgets."""
        runs = self.runs
        scale = np.where((runs.scale > 1) & runs.is_largest_size, runs.scale, np.nan)
        return self._reach(scale, _COMMON, (_APART, _APART_SHARED), alone=_ONE_SCALE)

    def of_sizes(self) -> Reach:
        """What the ends of runs tell of larger models."""
        runs = self.runs
        if runs.parameters is None:
            sizes = np.full(len(runs), np.nan)
        else:
            sizes = np.where(runs.is_end, cluster_scales(runs.parameters), np.nan)
        return self._reach(sizes, _COMMON_SIZE, (_APART_SIZE, _APART_SHARED_SIZE), alone=1.0)

    def _reach(
        self, scale: Floats, common: float, usual: tuple[float, float], alone: float
    ) -> Reach:
        """Of the way from one of (runs,) scales, budgets or sizes, to the next.

        Args:
            scale: (runs,) nan for runs that have no part.
            common: Deviation of what all mixtures share of the way, as part of it.
            usual: Those of what they do not share, with the noise of single runs and without, to
                which mixtures that were measured at two scales are added as evidence.
            alone: Factor on these where one scale was measured.
        """
        scales = np.unique(scale[np.isfinite(scale)])
        several = len(scales) > 1
        apart, shared = (part * (1.0 if several else alone) for part in usual)
        stride = None
        if several:
            before, last = scales[-2:].tolist()
            pairs = self._pairs(scale, before, last)
            apart = self._apart(pairs, np.zeros(len(scale)), apart)
            shared = self._apart(pairs, self.own, shared)
            means = [self.predicted[scale == one].mean() for one in (before, last)]
            stride = self._way(pairs) if len(pairs) else abs(float(means[0] - means[1]))
        return Reach(
            largest=float(scales[-1]) if len(scales) else np.inf,
            common=common * (1.0 if several else _ONE_SCALE),
            apart=apart,
            apart_shared=shared,
            stride=stride,
        )

    def _pairs(self, scale: Floats, before: float, last: float) -> Ints:
        """(pairs, 2) runs of one mixture at two scales, those of the second most like the first."""
        mixtures, totals = self.runs.mixtures, self.runs.tokens.sum(-1)
        of_mixture: dict[str, list[int]] = {}
        for k in np.flatnonzero(scale == last).tolist():
            of_mixture.setdefault(mixtures[k], []).append(k)
        # Of several runs of a larger model, the one of about as many tokens: the way is its size's.
        pairs = [
            (i, min(partners, key=lambda k: abs(np.log(totals[k] / totals[i]))))
            for i in np.flatnonzero(scale == before).tolist()
            if (partners := of_mixture.get(mixtures[i]))
        ]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def _apart(self, pairs: Ints, noise: Floats, usual: float) -> float:
        """How far the error of one mixture moves from another's, as part of the predicted change.

        Seen where one mixture was measured at both scales, less the (runs,) variance that is the
        runs' own noise.
        """
        pairs = pairs[np.isfinite(self.missed[pairs]).all(1)]
        if len(pairs) < 3 or not (way := self._way(pairs)):
            return usual
        moved = np.subtract(*self.missed[pairs].T)
        spread = max(float(moved.var(ddof=1) - noise[pairs].sum(1).mean()), 0.0)
        evidence = _APART_COUNTS * usual**2 + len(pairs) * spread / way**2
        return float(np.sqrt(evidence / (_APART_COUNTS + len(pairs))))

    def _way(self, pairs: Ints) -> float:
        """Mean predicted change of the objective."""
        return float(np.abs(np.subtract(*self.predicted[pairs].T)).mean())


def most_epochs(runs: Runs) -> Floats | None:
    """(domains,) how often runs of the largest model read what there was of each domain, 1 or more.

    None where it is not known how much there was.
    """
    largest = runs.of_largest_size
    if largest.unique_tokens is None:
        return None
    known = np.isfinite(largest.unique_tokens) & (largest.unique_tokens > 0)
    unique = np.where(known, largest.unique_tokens, 1.0)
    return np.where(known, np.maximum(largest.tokens / unique, 1.0), 1.0).max(0)


def with_less_repeated(points: Points, epochs: Floats) -> Points | None:
    """The runs with as much more text as no domain is read more than `epochs` times.

    Args:
        points: Planned runs.
        epochs: (points or 1, domains), 1 or more.

    Returns:
        None where none is read more often.
    """
    unique = points.unique_tokens
    if unique is None:
        return None
    needed = points.tokens / epochs
    more = np.isfinite(unique) & (needed > unique * REPEATED)
    if not more.any():
        return None
    return replace(points, unique_tokens=np.where(more, needed, unique))
