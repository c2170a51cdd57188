"""Mixtures of a swarm: whole, within their bounds, apart, and the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta, kstest

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import SwarmDesign
from mixscale.train.sweep.swarm import dirichlet_quantile, distances, draw_mixtures

PLENTY = dict.fromkeys("abcd", 9.0)
UNIFORM = dict.fromkeys("abcd", 0.25)
SAMPLINGS = pytest.mark.parametrize("sampling", ["dirichlet", "sobol"])


def design(**changes: Any) -> SwarmDesign:
    values = {"type": "swarm", "mixtures": 8, "scales": ["1M"], **changes}
    return validate(values, SwarmDesign, "test")


@settings(max_examples=40)
@given(
    count=st.integers(1, 12),
    concentration=st.floats(0.3, 30),
    sampling=st.sampled_from(["dirichlet", "sobol"]),
    closeness=st.floats(0, 1),
    supply=st.floats(1, 3),
    weights=st.lists(st.integers(0, 5), min_size=2, max_size=6),
    seed=st.integers(0, 99),
)
def test_what_holds_for_every_swarm(
    count: int,
    concentration: float,
    sampling: str,
    closeness: float,
    supply: float,
    weights: list[int],
    seed: int,
) -> None:
    """With bounds that leave enough mixtures, so that none of these swarms may be refused."""
    assume(sum(weight > 0 for weight in weights) > 1)
    prior = {f"d{number}": weight / sum(weights) for number, weight in enumerate(weights)}
    first = next(name for name, share in prior.items() if share > 0)
    ceilings = dict.fromkeys(prior, 9.0) | {first: supply * prior[first]}
    # The more concentrated, the nearer to each other mixtures lie.
    least = closeness * min(0.02, 0.05 / concentration)
    wanted = design(
        mixtures=count, concentration=concentration, sampling=sampling, min_distance=least
    )
    mixtures = draw_mixtures(wanted, prior, ceilings, seed)
    assert mixtures.shape == (count, len(prior))
    assert mixtures.min() >= 0
    np.testing.assert_allclose(mixtures.sum(axis=1), 1, atol=1e-12)
    assert (mixtures <= np.array([ceilings[name] for name in prior])).all()
    assert not mixtures[:, [share == 0 for share in prior.values()]].any()
    for number, mixture in enumerate(mixtures):
        for earlier in mixtures[:number]:
            assert np.maximum(mixture - earlier, 0).sum() >= least - 1e-12
    np.testing.assert_array_equal(mixtures, draw_mixtures(wanted, prior, ceilings, seed))
    shorter = wanted.model_copy(update={"mixtures": -(-count // 2)})
    np.testing.assert_array_equal(
        mixtures[: -(-count // 2)], draw_mixtures(shorter, prior, ceilings, seed)
    )


@SAMPLINGS
def test_shares_follow_the_dirichlet_distribution(sampling: str) -> None:
    prior = {"a": 0.5, "b": 0.3, "c": 0.2}
    wanted = design(mixtures=1024, concentration=2, sampling=sampling)
    mixtures = draw_mixtures(wanted, prior, dict.fromkeys(prior, 9.0), 3)
    parameters = np.array([0.5, 0.3, 0.2]) * 3 * 2
    for column, own in enumerate(parameters):
        marginal = beta(own, parameters.sum() - own)
        assert kstest(mixtures[:, column], marginal.cdf).pvalue > 0.001


def test_sobol_mixtures_leave_smaller_gaps() -> None:
    """The farthest that a mixture can be from the nearest of 64, over 12 seeds."""
    everywhere = draw_mixtures(design(mixtures=1000), UNIFORM, PLENTY, 1234)

    def gap(sampling: str, seed: int) -> float:
        mixtures = draw_mixtures(design(mixtures=64, sampling=sampling), UNIFORM, PLENTY, seed)
        return max(distances(mixtures, mixture).min() for mixture in everywhere)

    gaps = {
        sampling: np.mean([gap(sampling, seed) for seed in range(12)])
        for sampling in ("dirichlet", "sobol")
    }
    assert gaps["sobol"] < 0.93 * gaps["dirichlet"]


def test_the_map_inverts_the_distribution_functions() -> None:
    """With two domains the share is the quantile of the Beta distribution itself."""
    points: NDArray[np.float64] = np.array([[0.0], [0.1], [0.5], [0.999]])
    shares = dirichlet_quantile(points, np.array([2.0, 3.0]))
    np.testing.assert_allclose(shares[:, 0], beta(2, 3).ppf(points[:, 0]), atol=1e-12)
    middle = dirichlet_quantile(np.full((1, 3), 0.5), np.ones(4))
    np.testing.assert_allclose(middle[0, 0], 1 - 0.5 ** (1 / 3))


@SAMPLINGS
@pytest.mark.parametrize(
    ("changes", "ceilings", "message"),
    [
        (
            {},
            dict.fromkeys("abcd", 0.2),
            r"the text allows at most 20\.0% a, 20\.0% b, 20\.0% c, 20\.0% d of a mixture, less",
        ),
        (
            {"mixtures": 64, "min_distance": 0.5},
            PLENTY,
            r"min_distance: 0\.5 is too large: after \d+ of 64 mixtures, 5000 more lay too near",
        ),
        (
            {"concentration": 1000},
            PLENTY | {"a": 0.01},
            r"131072 ask for more of a domain than there is \(at most 1\.0% a\), and only 0 of",
        ),
    ],
)
def test_bounds_that_leave_too_few_mixtures_are_refused(
    sampling: str, changes: dict[str, Any], ceilings: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        draw_mixtures(design(sampling=sampling, **changes), UNIFORM, ceilings, 1)
