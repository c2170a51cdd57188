"""How far a run's objective would move if the run were repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.runs import Runs

MINIMUM_DEGREES = 3
"""Degrees of freedom from which a deviation is estimated at all."""
OWN_DEGREES = 5
"""Degrees of freedom from which a scale has a noise of its own."""

Source = Literal["seeds", "residuals", "evaluation", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviations between repetitions of a run."""

    losses: Floats | None
    """(validation,) of one run's loss, nats; None when nothing tells."""
    objective: float | None
    """Of one run's objective."""
    source: Source
    degrees: int | None = None
    """Degrees of freedom behind the deviations; None when they count as known."""
    law: str | None = None
    """The law whose residuals count as noise."""
    evaluation: Floats | None = None
    """(validation,) standard errors of the evaluation sample, nats."""
    by_scale: Mapping[float, Noise] = field(default_factory=dict)
    """Of the scales whose own runs tell: longer runs differ less when they are repeated."""

    def at(self, scale: float) -> Noise:
        """The noise of one scale's runs, that of all runs where they do not tell by themselves."""
        return self.by_scale.get(scale, self)

    def scales(self, rng: np.random.Generator, count: int) -> Floats:
        """(count,) factors that draws of the noise are multiplied by.

        A deviation estimated from few repeats is itself a matter of chance: draws of Student's
        distribution say so. The deviations here are already those of that distribution.
        """
        return student_scales(rng, count, self.degrees) / student_deviation(self.degrees)

    @property
    def variance(self) -> float | None:
        """Of one run's objective, without what Student's distribution adds."""
        if self.objective is None:
            return None
        return (self.objective / student_deviation(self.degrees)) ** 2

    @property
    def beside_residuals(self) -> Floats | None:
        """(validation,) what a law that takes its own residuals as noise still has to know."""
        return self.evaluation if self.source == "residuals" else self.losses

    @property
    def _residual_law(self) -> str:
        """The law whose residuals count as noise at some scale."""
        named = (self.law, *(noise.law for noise in self.by_scale.values()))
        return next((name for name in named if name), "unknown")

    @property
    def sentence(self) -> str:
        """What the intervals rest on."""
        others = [noise.source for noise in self.by_scale.values() if noise.source != self.source]
        if others:
            return (
                "Noise was measured from runs repeated with other seeds; at scales without them it "
                f"is what law {self._residual_law} leaves over of the runs, its own error included."
            )
        return {
            "seeds": "Noise was measured from runs repeated with other seeds.",
            "residuals": (
                f"No run is repeated enough: as noise counts what law {self.law} leaves over of "
                "the runs, at least the standard error of the evaluation sample. Where that law "
                "is wrong, its error counts as noise. Two or more seeds would measure the noise."
            ),
            "evaluation": (
                "Every run has one seed: the noise is only the standard error of the evaluation "
                "sample, so the intervals leave out the difference between training seeds. "
                "Two or more seeds would measure it."
            ),
            "unknown": (
                "Nothing tells how noisy the runs are (one seed, no standard errors), so there "
                "are no intervals. Two or more seeds would measure the noise."
            ),
        }[self.source]


def student_scales(rng: np.random.Generator, count: int, degrees: float | None) -> Floats:
    """(count,) factors that turn normal draws into draws of Student's distribution."""
    if degrees is None:
        return np.ones(count)
    return np.sqrt(degrees / np.maximum(rng.chisquare(degrees, count), 1e-9))


def student_deviation(degrees: int | None) -> float:
    """Deviation of Student's distribution: what an estimated deviation is widened by."""
    return 1.0 if degrees is None else float(np.sqrt(degrees / (degrees - 2)))


UNKNOWN_NOISE = Noise(losses=None, objective=None, source="unknown")


def estimate_noise(runs: Runs, objective: ObjectiveFunction) -> Noise:
    """Pool the spread of repeated runs; fall back on the evaluation's standard errors.

    Repeats count only from three degrees of freedom on: with fewer their spread is itself a matter
    of chance. `fit/uncertainty/residuals.py` adds what a law leaves over without repeats.
    """
    pooled = _repeats(runs, objective, MINIMUM_DEGREES)
    if pooled is not None:
        return with_scales(pooled, runs, lambda part: _repeats(part, objective, OWN_DEGREES))
    return evaluation_noise(runs, objective)


def evaluation_noise(runs: Runs, objective: ObjectiveFunction) -> Noise:
    """Noise as small as the standard errors of the evaluation sample say, where they are known."""
    if runs.errors is None:
        return UNKNOWN_NOISE
    losses = np.median(runs.errors, 0)
    return Noise(
        losses=losses,
        objective=float(np.median(objective.error(runs.losses, runs.errors))),
        source="evaluation",
        evaluation=losses,
    )


def with_scales(pooled: Noise, runs: Runs, of: Callable[[Runs], Noise | None]) -> Noise:
    """The noise of all runs, joined by that of each scale whose own runs tell."""
    if len(runs.scales) < 2:
        return pooled
    own = {float(scale): of(runs.at(float(scale))) for scale in runs.scales}
    return replace(pooled, by_scale={s: noise for s, noise in own.items() if noise is not None})


def groups_of_seeds(runs: Runs) -> NDArray[np.int64]:
    """(runs,) the group that each run shares scale, model size and seed with."""
    seeds = runs.seeds or (0,) * len(runs)
    groups = list(zip(runs.kinds.tolist(), seeds, strict=True))
    return np.array([groups.index(group) for group in groups])


def indicators(group: NDArray[np.int64]) -> Floats:
    """(runs, groups) 1 where a run belongs to a group."""
    return (group[:, None] == np.unique(group)).astype(np.float64)


def _repeats(runs: Runs, objective: ObjectiveFunction, least: int) -> Noise | None:
    """What label and seed do not explain; None with too few degrees of freedom.

    Runs of one scale, model size and seed share their initialisation and samples (`shuffle_algo:
    paired`), so a good seed lowers the losses of all of them alike and cancels when they are
    compared. What is left after the effects of labels and of these groups are taken out, as in a
    two-way analysis of variance, is the noise of a comparison.
    """
    # A run whose label stands once has an effect of its own, and tells nothing of the noise.
    repeated = Counter(runs.labels)
    again = np.array([repeated[label] > 1 for label in runs.labels], dtype=bool)
    if not again.any():
        return None
    runs = runs.where(again)
    labels = np.array([runs.labels.index(label) for label in runs.labels])
    effects = np.column_stack([indicators(labels), indicators(groups_of_seeds(runs))])
    values = np.column_stack([objective.value(runs.losses), runs.losses])
    fitted, _, rank, _ = np.linalg.lstsq(effects, values, rcond=None)
    # Checkpoints of one run share its noise: rows beyond the runs tell nothing more of it.
    degrees = int((len(values) - int(rank)) * runs.independent_part)
    if degrees < least:
        return None
    squares = ((values - effects @ fitted) ** 2).sum(0) * runs.independent_part
    # The spread is itself an estimate: the deviation of Student's distribution says so.
    deviation = np.sqrt(squares / degrees) * student_deviation(degrees)
    return Noise(
        losses=deviation[1:], objective=float(deviation[0]), source="seeds", degrees=degrees
    )
