"""Noise of a comparison where no run is repeated: what a law leaves over of the runs."""

from __future__ import annotations

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Law
from mixscale.fit.uncertainty.noise import (
    MINIMUM_DEGREES,
    OWN_DEGREES,
    Noise,
    estimate_noise,
    evaluation_noise,
    groups_of_seeds,
    indicators,
    student_deviation,
    with_scales,
)

_NEGLIGIBLE = 1e-9
"""Of the largest: slopes and directions below this are rounding errors."""


def comparison_noise(runs: Runs, objective: ObjectiveFunction, law: Law) -> Noise:
    """Measure the noise from repeated runs; without them, from what a law leaves over.

    So it is for each scale too: where only the smallest one is repeated, longer runs differ less
    from repeat to repeat. The standard error of the evaluation sample is the least that residuals
    count as.

    Args:
        runs: All runs.
        objective: What is minimised.
        law: A law that defines `residuals`.
    """
    measured = estimate_noise(runs, objective)
    pooled = measured
    if measured.source != "seeds":
        pooled = _residuals(runs, objective, law, MINIMUM_DEGREES)
    if pooled is None:
        return measured

    def of_scale(runs: Runs) -> Noise | None:
        repeated = measured.by_scale.get(float(runs.scale[0]))
        return repeated or _residuals(runs, objective, law, OWN_DEGREES)

    return with_scales(pooled, runs, of_scale)


def _residuals(runs: Runs, objective: ObjectiveFunction, law: Law, least: int) -> Noise | None:
    """Deviations around the law; None with too few degrees of freedom.

    The law is fitted to each validation loss and to the mean of them that the objective weighs,
    then the tangents of its parameters are taken out of the residuals by least squares, together
    with the effects that the runs of one scale and seed share. What is left has as many degrees of
    freedom as there are runs beyond tangents and effects, and would be the noise alone if the law
    were right. Where it is not, its error counts as noise.
    """
    slopes = objective.slope(runs.losses.mean(0))
    mean = runs.losses @ (slopes / slopes.sum())
    deviation, degrees = _left_over(runs, np.column_stack([mean, runs.losses]), law)
    if degrees < least or not np.isfinite(deviation).all():
        return None
    deviation = deviation * student_deviation(degrees)
    least_losses, least_objective = _evaluation(runs, objective)
    return Noise(
        losses=np.maximum(deviation[1:], least_losses),
        objective=max(float(deviation[0] * slopes.sum()), least_objective),
        source="residuals",
        degrees=degrees,
        law=law.name,
        evaluation=None if runs.errors is None else least_losses,
    )


def _evaluation(runs: Runs, objective: ObjectiveFunction) -> tuple[Floats, float]:
    """Standard errors of the (validation,) losses and of the objective; zeros where unknown."""
    noise = evaluation_noise(runs, objective)
    if noise.losses is None or noise.objective is None:
        return np.zeros(runs.losses.shape[1]), 0.0
    return noise.losses, noise.objective


def _left_over(runs: Runs, values: Floats, law: Law) -> tuple[Floats, int]:
    """(columns,) deviation of (runs, columns) values around the law, with degrees of freedom."""
    assert law.residuals is not None
    family = law.residuals(runs)
    theta = family.fit(runs.points, values[None], np.ones((1, len(runs))))[0]
    shared = indicators(groups_of_seeds(runs))
    residuals = values.T - family.predict(theta, runs.points)
    squares, ranks = np.empty(len(theta)), np.empty(len(theta), dtype=int)
    for k, tangents in enumerate(family.tangents(theta, runs.points)):
        directions = _orthonormal(np.column_stack([shared, tangents]))
        left = residuals[k] - directions @ (directions.T @ residuals[k])
        squares[k], ranks[k] = (left**2).sum(), directions.shape[1]
    degrees = len(runs) - ranks
    deviation = np.sqrt(squares / np.maximum(degrees, 1))
    # Checkpoints of one run share its noise: rows beyond the runs tell nothing more of it.
    return deviation, int(degrees.min() * runs.independent_part)


def _orthonormal(columns: Floats) -> Floats:
    """(runs, rank) orthonormal directions that span (runs, columns), each column of equal weight.

    Columns are brought to one length first, so that a parameter which hardly moves the predictions
    costs a degree of freedom all the same.
    """
    length = np.linalg.norm(columns, axis=0)
    kept = columns[:, length > _NEGLIGIBLE * length.max()]
    basis, size, _ = np.linalg.svd(kept / np.linalg.norm(kept, axis=0), full_matrices=False)
    return basis[:, size > _NEGLIGIBLE * size[0]]
