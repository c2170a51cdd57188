"""How far a run's objective would move if the run were repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fit.arrays import Floats
from fit.objective import Target
from fit.runs import Runs

MINIMUM_DEGREES = 3


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviations between repetitions of a run."""

    losses: Floats | None
    """(validation,) of one run's loss, nats; None when nothing tells."""
    objective: float | None
    """Of one run's objective."""
    source: Literal["seeds", "evaluation", "unknown"]
    degrees: int | None = None
    """Degrees of freedom behind the deviations; None when they count as known."""

    def scales(self, rng: np.random.Generator, count: int) -> Floats:
        """(count,) factors that draws of the noise are multiplied by.

        A deviation estimated from few repeats is itself a matter of chance: draws of Student's
        distribution say so. The deviations here are already those of that distribution.
        """
        return student_scales(rng, count, self.degrees) * (
            1.0 if self.degrees is None else np.sqrt((self.degrees - 2) / self.degrees)
        )

    @property
    def sentence(self) -> str:
        """What the intervals rest on."""
        return {
            "seeds": "Noise was measured from runs repeated with other seeds.",
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


UNKNOWN_NOISE = Noise(losses=None, objective=None, source="unknown")


def estimate_noise(runs: Runs, target: Target) -> Noise:
    """Pool the spread of repeated runs; fall back on the evaluation's standard errors.

    Repeats count only from three degrees of freedom on: with fewer their spread is itself a matter
    of chance.
    """
    losses, degrees = _pooled(runs, runs.losses)
    if degrees >= MINIMUM_DEGREES:
        objective, _ = _pooled(runs, target.value(runs.losses)[:, None])
        # The spread is itself an estimate: the deviation of Student's distribution says so.
        wider = np.sqrt(degrees / (degrees - 2))
        return Noise(
            losses=losses * wider,
            objective=float(objective[0] * wider),
            source="seeds",
            degrees=degrees,
        )
    if runs.errors is not None:
        objective = float(np.median(target.error(runs.losses, runs.errors)))
        return Noise(losses=np.median(runs.errors, 0), objective=objective, source="evaluation")
    return UNKNOWN_NOISE


def _pooled(runs: Runs, values: Floats) -> tuple[Floats, int]:
    """(columns,) standard deviation of what label and seed do not explain, its degrees of freedom.

    Runs of one scale and seed share their initialisation and samples (`shuffle_algo: paired`), so a
    lucky seed lowers the losses of all of them alike and cancels when they are compared. What is
    left after the effects of labels and of scale-and-seed are taken out, as in a two-way analysis
    of variance, is the noise of a comparison.
    """
    groups = [[runs.labels.index(label) for label in runs.labels]]
    if runs.seeds:
        pairs = list(zip(runs.scale.tolist(), runs.seeds, strict=True))
        groups.append([pairs.index(pair) for pair in pairs])
    effects = np.concatenate([_indicators(np.array(group)) for group in groups], axis=1)
    fitted, _, rank, _ = np.linalg.lstsq(effects, values, rcond=None)
    degrees = len(values) - int(rank)
    squares = ((values - effects @ fitted) ** 2).sum(0)
    return np.sqrt(squares / max(degrees, 1)), degrees


def _indicators(group: NDArray[np.int64]) -> Floats:
    """(runs, groups) 1 where a run belongs to a group."""
    return (group[:, None] == np.unique(group)).astype(np.float64)
