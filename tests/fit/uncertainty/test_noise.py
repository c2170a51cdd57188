"""How far a comparison between runs would move if they were repeated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.recovery import ddo_design
from mixscale.contracts.experiment import Objective
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.registry import reference_law
from mixscale.fit.uncertainty.noise import estimate_noise
from mixscale.fit.uncertainty.residuals import comparison_noise

DOMAINS = ("a", "b", "c", "d")


def swarm(seeds: tuple[int, ...], offset: float, noise: float, generator: int) -> Runs:
    """Runs of a design with an effect for each run, offset shared by a seed, and noise."""
    rng = np.random.default_rng(generator)
    labels = [f"run{number}" for number in range(9)]
    shared = {seed: rng.normal(0, offset) for seed in seeds}
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


@pytest.mark.parametrize("offset", [0.0, 0.05, 1.0])
def test_the_offset_of_a_seed_is_no_noise_between_its_runs(offset: float) -> None:
    aim = objective_function(Objective(), ("x", "y"), None)
    found = [estimate_noise(swarm((1, 2), offset, 0.01, g), aim) for g in range(40)]
    assert {noise.source for noise in found} == {"seeds"}
    measured = np.mean([noise.losses for noise in found if noise.losses is not None])
    # 40 estimates with 8 degrees of freedom each: 4 standard errors of their mean are 13 %. Each is
    # widened by the deviation of Student's distribution.
    assert measured == pytest.approx(0.01 * np.sqrt(8 / 6), rel=0.13)


def test_one_seed_tells_nothing() -> None:
    aim = objective_function(Objective(), ("x", "y"), None)
    assert estimate_noise(swarm((1,), 0.0, 0.01, 0), aim).source == "unknown"


def one_seed(scales: tuple[float, ...], noises: tuple[float, ...], generator: int) -> Runs:
    """A design of one seed at some scales, with the offset that all runs of a scale share."""
    rng = np.random.default_rng(generator)
    parts = [ddo_design(7, 1, scale) for scale in scales]
    tokens = np.concatenate([part.tokens for part in parts])
    worth = np.array([[3.0, 1, 0.5, 1, 2, 1, 0.3], [1, 2, 2, 0.5, 1, 1, 2]])
    losses = 2 + 1.5 * ((tokens / 1e6) ** 0.8 @ worth.T) ** -0.25
    deviation = np.repeat(noises, [len(part) for part in parts])[:, None]
    offset = np.repeat(rng.normal(0, 0.2, len(scales)), [len(part) for part in parts])[:, None]
    return Runs(
        domains=parts[0].domains,
        validation=("x", "y"),
        tokens=tokens,
        losses=losses + offset + deviation * rng.normal(size=losses.shape),
        errors=np.full(losses.shape, 0.001),
        scale=np.concatenate([part.scale for part in parts]),
        changed=tuple(name for part in parts for name in part.changed),
        labels=tuple(f"{label}@{k}" for k, part in enumerate(parts) for label in part.labels),
        seeds=(1,) * len(tokens),
    )


@pytest.mark.parametrize("scales", [(1e6,), (1e6, 4e6)])
def test_what_a_law_leaves_over_is_the_noise_of_one_seeds_runs(scales: tuple[float, ...]) -> None:
    aim = objective_function(Objective(), ("x", "y"), None)
    noise = (0.01,) * len(scales)
    found = [comparison_noise(one_seed(scales, noise, g), aim, reference_law()) for g in range(40)]
    assert {each.source for each in found} == {"residuals"}
    variances = [each.variance for each in found if each.variance is not None]
    # The truth is the law, so squares are right on average: 40 estimates with 5 degrees of freedom
    # have a relative error of 10 %, those at two scales with 19 of 5 %.
    assert np.mean(variances) == pytest.approx(0.01**2 / 2, rel=0.3)


def test_residuals_below_the_evaluations_error_are_not_believed() -> None:
    aim = objective_function(Objective(), ("x", "y"), None)
    runs = one_seed((1e6, 4e6), (0.001, 0.001), 0)
    with_errors = replace(runs, errors=np.full(runs.losses.shape, 0.02))
    found = comparison_noise(with_errors, aim, reference_law())
    assert found.source == "residuals"
    assert found.objective == pytest.approx(0.02 / np.sqrt(2))
    assert found.losses == pytest.approx(0.02)


def test_too_few_runs_leave_the_evaluations_error() -> None:
    aim = objective_function(Objective(), ("x", "y"), None)
    runs = one_seed((1e6,), (0.01,), 0).where(range(9))
    assert comparison_noise(runs, aim, reference_law()).source == "evaluation"
    assert comparison_noise(replace(runs, errors=None), aim, reference_law()).source == "unknown"


def test_longer_runs_have_a_noise_of_their_own() -> None:
    aim = objective_function(Objective(), ("x", "y"), None)
    parts = [swarm((1, 2, 3), 0.1, noise, 0) for noise in (0.03, 0.006)]
    runs = replace(
        parts[0],
        tokens=np.concatenate([part.tokens for part in parts]),
        losses=np.concatenate([part.losses for part in parts]),
        scale=np.repeat([1.0, 4.0], len(parts[0])),
        changed=parts[0].changed * 2,
        labels=tuple(f"{label}@{k}" for k in range(2) for label in parts[0].labels),
        seeds=parts[0].seeds * 2,
    )
    found = estimate_noise(runs, aim)
    for scale, noise in ((1.0, 0.03), (4.0, 0.006)):
        assert found.at(scale).losses == pytest.approx(noise, rel=0.4)
    assert found.at(2.0) is found


def test_scales_without_repeats_take_their_noise_from_a_law() -> None:
    aim = objective_function(Objective(), ("x", "y"), None)
    first, again = one_seed((1e6, 4e6), (0.05, 0.005), 0), one_seed((1e6,), (0.05,), 1)
    runs = replace(
        first,
        tokens=np.concatenate([first.tokens, again.tokens]),
        losses=np.concatenate([first.losses, again.losses]),
        errors=None,
        scale=np.concatenate([first.scale, again.scale]),
        changed=first.changed + again.changed,
        labels=first.labels + again.labels,
        seeds=first.seeds + (2,) * len(again),
    )
    found = comparison_noise(runs, aim, reference_law())
    assert (found.source, found.at(1e6).source, found.at(4e6).source) == (
        "seeds", "seeds", "residuals",
    )  # fmt: skip
    assert found.at(4e6).objective == pytest.approx(0.005 / np.sqrt(2), rel=0.8)
    assert "at scales without them" in found.sentence
