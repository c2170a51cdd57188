"""The scales that answers are taken from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.laws.registry import law_named
from mixscale.fit.scaling.deciding_scales import deciding_scales

SCALES = np.array([8, 10, 13, 16, 18, 20, 23, 26]) * 1e9
MIXTURES = 12


def runs(sizes: tuple[float, ...] = (1e9,)) -> Runs:
    """Twelve mixtures of two domains for each size, with a checkpoint at each scale."""
    share = np.tile(np.repeat(np.linspace(0.1, 0.9, MIXTURES), len(SCALES)), len(sizes))
    scale = np.tile(SCALES, MIXTURES * len(sizes))
    shares = np.column_stack([share, 1 - share])
    size = np.repeat(sizes, MIXTURES * len(SCALES))
    names = [f"{size:g} {share:.3f}" for size, share in zip(size, share, strict=True)]
    losses = 2 + (shares * scale[:, None] / 1e9 + 0.1) ** -0.3 + (size[:, None] / 1e8) ** -0.3
    return Runs(
        domains=("web", "code"),
        validation=("web", "code"),
        tokens=shares * scale[:, None],
        losses=losses,
        errors=None,
        scale=scale,
        changed=(MIXTURE,) * len(scale),
        labels=tuple(f"{name}@{at:g}" for name, at in zip(names, scale, strict=True)),
        parameters=size,
        training_runs=tuple(names),
    )


def test_checkpoints_that_lie_close_together_are_not_all_asked() -> None:
    law = law_named("linear")
    found = deciding_scales(runs(), law)
    assert found.scales == (10e9, 16e9, 26e9)
    assert found.reach
    # Runs of their own at every scale each tell something of their own.
    assert deciding_scales(replace(runs(), training_runs=()), law).scales == tuple(SCALES)


def test_the_largest_size_decides() -> None:
    several = runs((1e8, 1e9))
    few = several.where([i for i, at in enumerate(several.scale) if at == SCALES[-1]])
    found = deciding_scales(few, replace(law_named("linear"), sees_parameters=True))
    assert found.scales == (26e9,)
    # A second size tells how the objective goes on, though there is one scale.
    assert found.reach
    assert not deciding_scales(few.of_largest_size, law_named("linear")).reach
