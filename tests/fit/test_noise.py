"""How far a comparison between runs would move if they were repeated."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.experiment import Objective
from fit.noise import estimate_noise
from fit.objective import target
from fit.runs import Runs

DOMAINS = ("a", "b", "c", "d")


def swarm(seeds: tuple[int, ...], luck: float, noise: float, generator: int) -> Runs:
    """Runs of a design with an effect for each run, luck shared by a seed, and noise."""
    rng = np.random.default_rng(generator)
    labels = [f"run{number}" for number in range(9)]
    shared = {seed: rng.normal(0, luck) for seed in seeds}
    effects = rng.normal(0, 0.2, len(labels))
    rows = [(seed, number) for seed in seeds for number in range(len(labels))]
    losses = np.array([4 + effects[n] + shared[s] + rng.normal(0, noise, 2) for s, n in rows])
    return Runs(
        domains=DOMAINS,
        validation=("x", "y"),
        tokens=np.ones((len(rows), 4)),
        losses=losses,
        errors=None,
        scale=np.ones(len(rows)),
        changed=("*",) * len(rows),
        labels=tuple(labels[n] for _, n in rows),
        seeds=tuple(seed for seed, _ in rows),
    )


@pytest.mark.parametrize("luck", [0.0, 0.05, 1.0])
def test_the_luck_of_a_seed_is_no_noise_between_its_runs(luck: float) -> None:
    aim = target(Objective(), ("x", "y"), None)
    found = [estimate_noise(swarm((1, 2), luck, 0.01, g), aim) for g in range(40)]
    assert {noise.source for noise in found} == {"seeds"}
    measured = np.mean([noise.losses for noise in found if noise.losses is not None])
    # 40 estimates with 8 degrees of freedom each: 4 standard errors of their mean are 13 %. Each is
    # widened by the deviation of Student's distribution.
    assert measured == pytest.approx(0.01 * np.sqrt(8 / 6), rel=0.13)


def test_one_seed_tells_nothing() -> None:
    aim = target(Objective(), ("x", "y"), None)
    assert estimate_noise(swarm((1,), 0.0, 0.01, 0), aim).source == "unknown"
