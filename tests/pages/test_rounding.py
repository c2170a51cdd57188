"""Digits that mean something."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mixscale.pages.rounding import number, percent, percent_span, span

numbers = st.floats(-1e9, 1e9, allow_nan=False)
widths = st.floats(1e-6, 1e6)


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (0.005294, (-0.01, 0.02), "0.005"),
        (0.005294, (-0.02, 0.04), "0.01"),
        (0.02854, (0.0261, 0.0309), "0.029"),
        (31.27, (28.2, 34.1), "31"),
        (31.27, (29.9, 32.7), "31.3"),
        (1234.5, (800.0, 1600.0), "1200"),
        (-0.0004, (-0.02, 0.02), "0.00"),
    ],
)
def test_the_interval_decides_the_digits(
    value: float, interval: tuple[float, float], text: str
) -> None:
    assert number(value, interval) == text


def test_without_an_interval_there_are_three_digits() -> None:
    assert [number(v) for v in (0.012345, 1.0, 12345.0, 0.0)] == ["0.0123", "1.00", "12300", "0"]
    assert number(0.0012345, digits=2) == "0.0012"
    assert number(0.5, signed=True) == "+0.500"


def test_percentages() -> None:
    assert percent(0.6) == "60 %"
    assert percent(1 / 3) == "33.3 %"
    assert percent(0.3127, (0.282, 0.341)) == "31 %"
    assert percent_span((0.282, 0.341)) == "28 to 34 %"
    # However little is known of it, a small share is not nothing.
    assert percent(0.008, (0.008, 0.8)) == "1 %"
    assert percent_span((0.008, 0.8)) == "1 to 80 %"
    # However exactly it is known, a mixture needs no hundredths of a percent.
    assert percent(0.312745, (0.312744, 0.312746)) == "31.3 %"


@given(value=numbers, low=numbers, width=widths)
def test_what_is_written_is_near_and_not_finer_than_it_is_known(
    value: float, low: float, width: float
) -> None:
    interval = (low, low + width)
    half = (interval[1] - interval[0]) / 2
    assume(half > 1e-8 * abs(value))
    text = number(value, interval)
    # Half a unit of the last digit, which is at most the half width and at least a twentieth of it.
    assert abs(float(text) - value) <= 0.5001 * half + 1e-12 * abs(value)
    decimals = len(text.partition(".")[2])
    if decimals:
        assert 10.0**-decimals >= half / 21


@given(first=numbers, second=numbers, low=numbers, width=widths)
def test_larger_numbers_are_never_written_as_smaller(
    first: float, second: float, low: float, width: float
) -> None:
    interval = (low, low + width)
    assume(width > 1e-8 * max(abs(first), abs(second), abs(low)))
    small, large = sorted((first, second))
    assert float(number(small, interval)) <= float(number(large, interval))


def test_what_is_not_finite_does_no_harm() -> None:
    inf = float("inf")
    assert number(inf) == "inf"
    assert number(1.5, (-inf, inf)) == "1.50"
    assert span((0.5, inf), value=1.0) == "0.50 to inf"
    assert percent(float("nan")) == "nan %"


@given(value=numbers)
def test_three_digits_are_within_half_a_percent(value: float) -> None:
    written = float(number(value))
    assert math.isclose(written, value, rel_tol=0.0051, abs_tol=1e-300)


@given(low=numbers, width=widths, part=st.floats(0, 1))
def test_an_interval_still_holds_its_number(low: float, width: float, part: float) -> None:
    interval = (low, low + width)
    assume(width > 1e-8 * abs(low))
    value = min(low + part * width, interval[1])
    ends = [float(end) for end in span(interval, value=value).split(" to ")]
    assert ends[0] <= float(number(value, interval)) <= ends[1]


@given(value=numbers, low=numbers, width=widths)
def test_there_is_no_minus_before_nothing(value: float, low: float, width: float) -> None:
    for text in (number(value, (low, low + width)), number(value), percent(value)):
        number_alone = text.removesuffix(" %")
        assert not (number_alone.startswith("-") and float(number_alone) == 0)
