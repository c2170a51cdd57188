"""What repeats with other seeds say."""

from __future__ import annotations

import numpy as np
from scipy import stats

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.runs import BASE, Runs


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean over seeds with Student's 90 % interval."""
    half = stats.t.ppf(0.95, len(values) - 1) * stats.sem(values)
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def changes(of_scale: Runs) -> dict[str, Floats]:
    """By changed mixture, (seeds,) its mean loss less that of the base run of the same seed.

    Args:
        of_scale: Base and changed runs of one scale, all with the same seeds.
    """
    means = of_scale.losses.mean(1)
    rows = list(zip(of_scale.labels, of_scale.changed, of_scale.seeds, strict=True))
    base = {seed: means[i] for i, (_, changed, seed) in enumerate(rows) if changed == BASE}
    found: dict[str, dict[int, float]] = {}
    for i, (label, changed, seed) in enumerate(rows):
        if changed != BASE:
            found.setdefault(label, {})[seed] = means[i] - base[seed]
    return {label: np.array([by[seed] for seed in sorted(base)]) for label, by in found.items()}
