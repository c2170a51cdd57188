"""Signal and noise of runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.recovery import TOTAL, ddo_design, swarm_runs, with_losses
from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import Recommendation, Scale, Signal
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.output.signal_wording import sentence, warnings
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE, Noise
from mixscale.fit.uncertainty.signal import signal

AIM = objective_function(Objective(), ("v",))


def known(deviation: float) -> Noise:
    return Noise(losses=np.array([deviation]), objective=deviation, source="seeds")


def design(slopes: tuple[float, ...], seeds: int, noise: float, generator: int = 0) -> Runs:
    """Losses that fall with the log of each domain's tokens, with the offset of each seed."""
    rng = np.random.default_rng(generator)
    runs = ddo_design(len(slopes), seeds)
    runs = replace(runs, seeds=tuple(k % seeds for k in range(len(runs))))
    offset = rng.normal(0, 0.5, seeds)[list(runs.seeds)]
    clean = 3 - np.log(runs.tokens / TOTAL) @ np.array(slopes) + offset
    return with_losses(runs, (clean + noise * rng.normal(size=len(runs)))[:, None])


def test_domains_of_equal_worth_tell_nothing_about_the_mixture() -> None:
    found = signal(design((0.1, 0.1, 0.1, 0.1), 2, 0.0), AIM, known(1e-3))
    assert found is not None
    # Three times or a third of a domain moves the loss by 0.1 log 3 with no domain better.
    assert found.change == pytest.approx(0.1 * np.log(3), rel=1e-3)
    assert found.between == 0
    assert found.runs_each == 2


def test_a_domain_in_proportion_to_its_size_is_worth_no_more() -> None:
    runs = design((0.1, 0.1, 0.1), 1, 0.0)
    sizes = np.array([3.0, 2.0, 1.0])
    tokens = runs.tokens * sizes
    even = with_losses(replace(runs, tokens=tokens), 4 - 1e-10 * tokens.sum(-1, keepdims=True))
    found = signal(even, AIM, known(1e-4))
    assert found is not None
    assert found.between == 0
    assert (found.change or 0) > 0.05


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_noises_own_share_is_taken_out(seeds: int) -> None:
    noise, slopes = 0.03, (0.04, 0.08, 0.12, 0.16, 0.2)
    all_found = [signal(design(slopes, seeds, noise, g), AIM, known(noise)) for g in range(80)]
    between = [found.between**2 for found in all_found if found is not None]
    truth = 2 * np.var(np.log(3) * np.array(slopes), ddof=1)
    assert np.mean(between) == pytest.approx(truth, rel=0.15)
    assert all_found[0] is not None
    assert all_found[0].noise == pytest.approx(noise * np.sqrt(2 / seeds))


def test_mixtures_are_compared_with_each_other() -> None:
    rng = np.random.default_rng(0)
    losses = 3 + rng.normal(0, 0.1, (400, 1)) + rng.normal(0, 0.05, (400, 1))
    runs = replace(swarm_runs(("v",), np.ones((400, 1)), losses), domains=("v",))
    found = signal(runs, AIM, known(0.05))
    assert found is not None
    assert found.change is None
    assert found.between == pytest.approx(0.1 * np.sqrt(2), rel=0.1)
    assert found.noise == pytest.approx(0.05 * np.sqrt(2))


def test_unknown_noise_has_no_ratio() -> None:
    assert signal(design((0.1, 0.1), 1, 0.0), AIM, UNKNOWN_NOISE) is None


def scale(tokens: int, between: float, runs_each: float = 2) -> Scale:
    return Scale(
        scale_tokens=tokens, runs=20, base_objective=4.0, parameters={}, residual_rms=0.0,
        no_response=(), signal=Signal(change=0.1, between=between, noise=0.02, runs_each=runs_each),
    )  # fmt: skip


def advice(gain: float, low: float) -> Recommendation:
    action = "change" if low > 0 else "keep what you have"
    return Recommendation(action=action, reason="", gain=gain, interval=(low, gain + (gain - low)))


def test_low_ratios_are_named_with_the_runs_that_they_need() -> None:
    scales = [scale(160_000, 0.0), scale(400_000, 0.02), scale(1_000_000, 0.05)]
    (warning,) = warnings(scales, advice(0.02, 0.01))
    assert warning.startswith("At 160k and 400k tokens the differences that tell domains apart")
    assert "are 0.0 and 1.0 times the noise" in warning
    # Twice the ratio takes four times the runs.
    assert "more than 100 and 8 runs of each mixture instead of 2" in warning
    assert "2.5 times the noise of a comparison (0.02)" in (sentence(scales[2]) or "")


def test_a_gain_that_does_not_stand_out_is_said_with_the_seeds_it_needs() -> None:
    # The half-width is three times the gain: nine times the runs.
    (warning,) = warnings([scale(1_000_000, 0.05)], advice(0.01, -0.02))
    assert "about 18 runs of each mixture instead of 2" in warning
    assert not list(warnings([scale(1_000_000, 0.05)], advice(0.02, 0.01)))
