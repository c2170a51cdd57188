"""Numbers with the digits that mean something."""

from __future__ import annotations

import math

Interval = tuple[float, float]

_WITHOUT = 3
"""Significant digits where nothing tells how exactly a number is known."""
_LARGEST_LEADING = 2.0
"""Leading digits of an uncertainty below which it is given two of them, and else one: it is itself
known to tens of percent."""
_EXACT = 9
"""Digits beyond which a width is a number's own rounding."""


def number(
    value: float,
    interval: Interval | None = None,
    *,
    signed: bool = False,
    digits: int = _WITHOUT,
) -> str:
    """Write a number for people.

    Args:
        value: One that is not finite is written as such.
        interval: What it is known to lie in; half its width decides the digits.
        signed: Whether a plus is written, too.
        digits: Significant ones without an interval, or with one of no width.
    """
    return _written(value, _place(value, interval, digits), signed)


def span(interval: Interval, *, value: float | None = None, unit: str = "") -> str:
    """Write an interval as `low to high`, with the digits of the number that it belongs to.

    Args:
        interval: Increasing.
        value: Of the number; it matters only where the interval has no width.
        unit: What stands behind the last number.
    """
    place = _place(interval[1] if value is None else value, interval)
    low, high = (_written(edge, place, False) for edge in interval)
    return f"{low} to {high}{unit}"


def percent(part: float, interval: Interval | None = None) -> str:
    """Write a part of one as a percentage, `31 %`; with one decimal where nothing tells better."""
    if interval is None:
        return f"{_written(100 * part, -1, False).removesuffix('.0')} %"
    return f"{_written(*_percent(part, interval), False)} %"


def percent_span(interval: Interval) -> str:
    """Write an interval of parts of one, `28 to 34 %`; one number where both ends look alike."""
    scaled = (100 * interval[0], 100 * interval[1])
    place = _percent_place(scaled[1], scaled)
    low, high = (_written(end, place, False) for end in scaled)
    return f"{low} %" if low == high else f"{low} to {high} %"


def _percent(part: float, interval: Interval) -> tuple[float, int]:
    scaled = (100 * interval[0], 100 * interval[1])
    return 100 * part, _percent_place(100 * part, scaled)


def _percent_place(value: float, scaled: Interval) -> int:
    """Whole percent or tenths: a share is never so unsure that 0 % could stand for 1 %, nor are
    hundredths of anybody's concern."""
    return min(max(_place(value, scaled), -1), 0)


def _place(value: float, interval: Interval | None, digits: int = _WITHOUT) -> int:
    """The power of ten of the last digit that is written."""
    half = 0.0 if interval is None else abs(interval[1] - interval[0]) / 2
    if not math.isfinite(value):
        return 0
    if not math.isfinite(half) or half <= abs(value) * 10.0**-_EXACT:
        return _leading(value) - digits + 1 if value else 0
    leading = _leading(half)
    return leading - 1 if half / 10.0**leading < _LARGEST_LEADING else leading


def _leading(value: float) -> int:
    """The power of ten of the first digit."""
    return math.floor(math.log10(abs(value)))


def _written(value: float, place: int, signed: bool) -> str:
    if not math.isfinite(value):
        return f"{value:g}"
    rounded = round(value, -place)
    text = f"{rounded:.{max(-place, 0)}f}"
    if float(text) == 0:
        return text.removeprefix("-")
    return f"+{text}" if signed and rounded > 0 else text
