"""Derivatives that are written out by hand, against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixscale.contracts.experiment import Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.points import Points
from mixscale.fit.laws import bimix, loglinear
from mixscale.fit.laws.bimix import Bivariate
from mixscale.fit.laws.joint import EffectiveTokens
from mixscale.fit.laws.linear import Linear
from mixscale.fit.laws.loglinear import Exponential
from mixscale.fit.laws.quadratic import Quadratic
from mixscale.fit.laws.separable import Separable
from mixscale.fit.laws.shared import terms
from mixscale.fit.laws.shared.model_size import ModelSize
from mixscale.fit.laws.shared.shares import Inputs
from mixscale.fit.laws.shared.smooth import Family
from mixscale.fit.laws.shared.terms import DataTerm, SumOfTerms

DOMAINS = 3
SHARES, WITH_TOTAL = Inputs(unit=2e6, with_total=False), Inputs(unit=2e6, with_total=True)


UNIQUE = np.array([4e5, 1e6, np.inf])
TERMS: dict[str, tuple[DataTerm, int]] = {
    "joint": (EffectiveTokens(), DOMAINS + 2),
    "separable": (Separable(), 2 * DOMAINS + 1),
}


def sums_of_terms() -> dict[str, tuple[SumOfTerms, int]]:
    """Laws that add terms: plain, with the model's size, with repetition, with both."""
    size = ModelSize(reference=2e6, share=0.2)
    return {
        f"{name}, size {with_size}, repeats {repeats}": (
            SumOfTerms(term=term, unit=2e6, size=size if with_size else None, repeats=repeats),
            1 + 2 * with_size + repeats + count,
        )
        for name, (term, count) in TERMS.items()
        for with_size in (False, True)
        for repeats in (False, True)
    }


def points_with_all(tokens: Floats) -> Points:
    """Runs of several sizes, whose first two domains are read more than once."""
    return Points(
        tokens=tokens,
        unique_tokens=np.broadcast_to(UNIQUE, tokens.shape),
        parameters=np.linspace(1e6, 4e6, len(tokens)),
    )


def families() -> dict[str, tuple[Family, int]]:
    """Each family with the number of its parameters for three domains."""
    return {
        **sums_of_terms(),
        "bimix": (Bivariate(unit=2e6, own=np.array([0, 2])), 4),
        "linear": (Linear(inputs=SHARES), DOMAINS),
        "linear with totals": (Linear(inputs=WITH_TOTAL), DOMAINS + 1),
        "loglinear": (Exponential(inputs=SHARES), DOMAINS + 1),
        "loglinear with totals": (Exponential(inputs=WITH_TOTAL), DOMAINS + 2),
        "quadratic": (Quadratic(inputs=SHARES), 10),
        "quadratic with totals": (Quadratic(inputs=WITH_TOTAL), 15),
    }


def differences(function: Any, at: Floats, step: Floats) -> Floats:
    """(..., variables) central differences of a function of (variables,)."""
    moved = np.diag(step)
    return np.stack(
        [
            (function(at + row) - function(at - row)) / (2 * size)
            for row, size in zip(moved, step, strict=True)
        ],
        axis=-1,
    )


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(families())), seed=st.integers(0, 10**6))
def test_slopes_by_tokens(name: str, seed: int) -> None:
    family, parameters = families()[name]
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-0.8, 0.8, (2, parameters))
    tokens = rng.uniform(2e5, 3e6, DOMAINS)
    expected = differences(
        lambda n: family.predict(theta, points_with_all(n[None]))[:, 0], tokens, 1e-5 * tokens
    )
    found = family.slopes(theta, points_with_all(tokens[None]))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=2e-6)


def models(points: Points) -> dict[str, tuple[Any, int]]:
    """The models that are fitted by Levenberg-Marquardt, with the number of their parameters."""
    x = points.tokens / 2e6
    return {
        **{
            name: (terms._Model(family, points), count)
            for name, (family, count) in sums_of_terms().items()
        },
        "bimix": (bimix._Model(np.log(x.sum(-1)), np.log(points.shares[:, 1])), 4),
        "loglinear": (loglinear._Model(WITH_TOTAL(points), DOMAINS), DOMAINS + 2),
    }


@settings(max_examples=60)
@given(name=st.sampled_from([*sums_of_terms(), "bimix", "loglinear"]), seed=st.integers(0, 10**6))
def test_jacobians_by_parameters(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = points_with_all(rng.uniform(2e5, 3e6, (5, DOMAINS)))
    model, parameters = models(points)[name]
    theta = rng.uniform(-0.8, 0.8, parameters)
    expected = differences(lambda t: model.values(t[None])[0], theta, np.full(parameters, 1e-6))
    values, jacobian = model.jacobian(theta[None])
    np.testing.assert_allclose(values, model.values(theta[None]))
    np.testing.assert_allclose(jacobian[0], expected, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("metric", ["loss", "perplexity", "bits_per_byte"])
def test_slope_of_the_objective(metric: Any) -> None:
    objective = objective_function(
        Objective(metric=metric, weights={"a": 2.0, "c": 1.0}),
        ("a", "b", "c"),
        np.array([0.3, 0.4, 0.5]),
    )
    losses = np.array([2.5, 3.0, 1.2])
    expected = differences(objective.value, losses, np.full(3, 1e-6))
    np.testing.assert_allclose(objective.slope(losses), expected, rtol=1e-6, atol=1e-9)
