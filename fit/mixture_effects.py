"""What runs of a mixture say of the same mixture in a larger run.

A law is a smooth function of the mixture and misses each measured one by a little. What it misses
is partly the same at the next size, more than noise would make it: a random effect of the mixture,
whose best prediction is a part of what was missed before (best linear unbiased prediction,
Robinson, 1991, Statistical Science 6:15). How large a part is seen where the largest models, or
budgets, are predicted from the smaller ones. Mixtures that were not run have no effect, so the
optimum does not change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.scales import SAME_SCALE, cluster_scales, mixture_names
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.uncertainty.noise import Noise

LEAST_MIXTURES = 5
"""Measured in two sizes or budgets: from fewer the part is not estimated."""


@dataclass(frozen=True, kw_only=True)
class MixtureEffects:
    """What the largest runs of each measured mixture differ from a law by, as far as it lasts."""

    shares: Floats
    """(mixtures, domains) that have an effect."""
    effects: Floats
    """(mixtures, validation) nats that are added to the law's predictions of larger runs."""
    part: float
    """Of what the law misses at the largest size, or budget, that is expected of a larger run."""
    parameters: float
    """Of the smallest model that the effects hold for; 0 where sizes are not known."""
    tokens: float
    """Of the shortest run that they hold for."""

    def at(self, points: Points) -> Floats:
        """(points, validation) effects in nats; 0 for other mixtures, and smaller runs."""
        reached = points.totals >= self.tokens * (1 - SAME_SCALE)
        if points.parameters is not None:
            reached &= points.parameters >= self.parameters * (1 - SAME_SCALE)
        names = mixture_names(np.concatenate([self.shares, points.shares]))
        known = {name: i for i, name in enumerate(names[: len(self.shares)])}
        effects = np.zeros((len(points), self.effects.shape[1]))
        for i, name in enumerate(names[len(self.shares) :]):
            if reached[i] and name in known:
                effects[i] = self.effects[known[name]]
        return effects


def _no_effects(runs: Runs) -> MixtureEffects:
    domains, validation = runs.tokens.shape[1], runs.losses.shape[1]
    return MixtureEffects(
        shares=np.empty((0, domains)),
        effects=np.empty((0, validation)),
        part=0.0,
        parameters=0.0,
        tokens=0.0,
    )


def mixture_effects(
    law: Law, fitted: FittedLaw, runs: Runs, objective: ObjectiveFunction, noise: Noise
) -> MixtureEffects:
    """Estimate the effects of measured mixtures.

    Args:
        law: The law, fitted once more to all runs but the largest.
        fitted: The law fitted to all of the runs.
        runs: The measured runs.
        objective: As the law was fitted for.
        noise: Likewise.
    """
    stage = _stages(runs, law)
    if stage is None:
        return _no_effects(runs)
    before, last = np.unique(stage)[-2:]
    try:
        smaller = runs.where(stage < last)
        of_smaller = law.fit(smaller, objective, noise)
    except UserError:
        return _no_effects(runs)
    earlier, latest = ((stage == one) & runs.is_end for one in (before, last))
    mixtures = np.array(runs.mixtures)
    missed = runs.losses - of_smaller.predict_losses(runs.points)
    part = _lasting_part(
        _by_mixture(missed, mixtures, earlier), _by_mixture(missed, mixtures, latest)
    )
    if not part:
        return _no_effects(runs)
    largest = runs.where(latest)
    lasting = _by_mixture(runs.losses - fitted.predict_losses(runs.points), mixtures, latest)
    return MixtureEffects(
        shares=runs.shares[[int(np.argmax(mixtures == name)) for name in lasting]],
        effects=part * np.stack(list(lasting.values())),
        part=part,
        parameters=0.0 if largest.parameters is None else float(largest.parameters.min()),
        tokens=float(largest.tokens.sum(-1).min()),
    )


def _stages(runs: Runs, law: Law) -> Floats | None:
    """(runs,) model size where there are several, else token budget; None with one of each."""
    if not law.spans_scales:
        return None
    if law.sees_parameters and len(runs.sizes) > 1:
        assert runs.parameters is not None
        return cluster_scales(runs.parameters)
    return runs.scale if len(np.unique(runs.scale[runs.is_end])) > 1 else None


def _by_mixture(missed: Floats, mixtures: NDArray[np.str_], among: Bools) -> dict[str, Floats]:
    """(validation,) mean by mixture of the measured less the predicted losses of some runs."""
    names = dict.fromkeys(mixtures[among].tolist())
    return {name: missed[among & (mixtures == name)].mean(0) for name in names}


def _lasting_part(before: dict[str, Floats], after: dict[str, Floats]) -> float:
    """The part of what was missed `before` that was missed `after` too, between 0 and 1.

    A regression through the mean with one slope for all losses, each in its own spread, less what
    its error over the mixtures makes of it (James and Stein, 1961).
    """
    common = [name for name in before if name in after]
    if len(common) < LEAST_MIXTURES:
        return 0.0
    x, y = (np.stack([missed[name] for name in common]) for missed in (before, after))
    spread = np.maximum(y.std(0), 1e-12)
    x, y = (x - x.mean(0)) / spread, (y - y.mean(0)) / spread
    square, product = (x**2).sum(1), (x * y).sum(1)
    slope = product.sum() / max(square.sum(), 1e-300)
    # Losses of one run miss together, so mixtures are what is counted.
    error = np.sqrt(((product - slope * square) ** 2).sum()) / max(square.sum(), 1e-300)
    if slope <= error:
        return 0.0
    return float(min(slope * (1 - (error / slope) ** 2), 1.0))
