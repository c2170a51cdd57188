"""Bars in the rows of a table: as wide as their column, whatever the window's width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mixscale.pages.elements import Html, element, joined

Kind = Literal["now", "advised", "third", "fourth", "fifth"]
"""Colours of the style sheet; `now` is the quiet one."""

_THICK, _GAP = 9, 3  # pixels


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar, from zero."""

    value: float
    kind: Kind = "advised"
    span: tuple[float, float] | None = None
    """Interval, drawn as a line across the end."""


def bars(row: Sequence[Bar], most: float) -> Html:
    """Draw the bars of one row under each other; the numbers belong into cells beside them.

    Args:
        row: From top to bottom.
        most: The value at the right edge, the same for all rows of a table.
    """
    height = len(row) * (_THICK + _GAP) + _GAP
    drawn = [part for i, bar in enumerate(row) for part in _drawn(bar, i, most)]
    return element(
        "svg", *drawn, class_="bars", width="100%", height=height, aria_hidden="true",
        focusable="false",
    )  # fmt: skip


def legend(kinds: Iterable[tuple[Kind, str]]) -> Html:
    """Say what the colours stand for."""
    entries = [element("span", swatch(kind), " ", text, class_="key") for kind, text in kinds]
    return element("p", joined(entries), class_="legend")


def swatch(kind: Kind) -> Html:
    """Draw a small field of a colour."""
    field = element("rect", width="100%", height="100%", class_=kind)
    return element("svg", field, class_="swatch", width=12, height=12, aria_hidden="true")


def _drawn(bar: Bar, place: int, most: float) -> Iterable[Html]:
    top = _GAP + place * (_THICK + _GAP)
    yield element("rect", x=0, y=top, width=_at(bar.value, most), height=_THICK, class_=bar.kind)
    if bar.span is None:
        return
    low, high = (_at(edge, most) for edge in bar.span)
    middle = top + _THICK / 2
    yield element("line", x1=low, x2=high, y1=middle, y2=middle, class_="span")
    for edge in (low, high):
        yield element("line", x1=edge, x2=edge, y1=middle - 3, y2=middle + 3, class_="span")


def _at(value: float, most: float) -> str:
    """A place in parts of the width."""
    part = min(max(value / most, 0.0), 1.0) if most > 0 else 0.0
    return f"{100 * part:.2f}%"
