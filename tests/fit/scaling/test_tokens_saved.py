"""A gain in tokens, under a law whose answer can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.scaling.tokens_saved import tokens_saved
from mixscale.fit.uncertainty.gain import GainOver, Predictor

EXPONENT = 0.3


@dataclass(frozen=True)
class PowerLaw:
    """Loss 2 + c(mixture) tokens^-0.3, with c = 100 - 20 x (share of the first domain)."""

    def predict_objective(self, points: Points) -> Floats:
        c = 100 - 20 * points.shares[:, 0]
        return 2 + c * points.totals**-EXPONENT


def predictor(budget: float) -> Predictor:
    law: Any = PowerLaw()
    return Predictor(name="power", law=law, draws=None, run=PlannedRun(token_budget=budget))


def gain(value: float, interval: tuple[float, float] | None = None) -> GainOver:
    bounds = None if interval is None else np.array(interval)
    return GainOver(over="current", shares=np.array([0.0, 1.0]), gain=value, interval=bounds)


@given(
    budget=st.floats(1e8, 1e13),
    share=st.floats(0.05, 1.0),
)
def test_as_many_tokens_fewer_as_make_up_for_the_gain(budget: float, share: float) -> None:
    """c2 N^-b = c1 D^-b: the better mixture needs N = D (c2 / c1)^(1 / b)."""
    gained = 20 * share * budget**-EXPONENT
    saved = tokens_saved(predictor(budget), np.array([share, 1 - share]), gain(gained))
    assert saved is not None
    expected = 1 - ((100 - 20 * share) / 100) ** (1 / EXPONENT)
    assert saved == pytest.approx([expected], abs=2e-4)


def test_the_interval_goes_with_that_of_the_gain() -> None:
    budget = 1e10
    unit = budget**-EXPONENT
    shares = np.array([0.5, 0.5])
    saved = tokens_saved(predictor(budget), shares, gain(10 * unit, (-5 * unit, 15 * unit)))
    assert saved is not None
    # c N^-b = c D^-b + g, with c = 90.
    expected = [1 - (1 + g / 90) ** (-1 / EXPONENT) for g in (10, -5, 15)]
    assert saved.tolist() == pytest.approx(expected, abs=2e-4)
    assert saved[1] < 0 < saved[0] < saved[2]


def test_a_gain_that_no_number_of_tokens_makes_up_for_has_no_answer() -> None:
    assert tokens_saved(predictor(1e10), np.array([0.5, 0.5]), gain(1e3)) is None


def test_under_a_law_that_does_not_see_tokens_there_is_no_answer() -> None:
    law: Any = SimpleNamespace(predict_objective=lambda points: np.full(len(points), 3.0))
    flat = Predictor(name="flat", law=law, draws=None, run=PlannedRun(token_budget=1e10))
    assert tokens_saved(flat, np.array([0.5, 0.5]), gain(0.1)) is None
