"""Small charts of one kind side by side, as many in a row as the window is wide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mixscale.pages.bars import Kind
from mixscale.pages.elements import Html, element

# In units of the drawing, which is shown about as large as its text is elsewhere on the page.
_WIDTH, _HEIGHT = 230, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 22, 22
_RADIUS = 3.2


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of a panel, joined by a line or not."""

    x: Sequence[float]
    y: Sequence[float]
    kind: Kind = "advised"
    line: str | None = "solid"
    """`solid`, `dashed`, or None for points alone."""
    filled: Sequence[bool] | None = None
    """Of each point, whether its mark is filled; None for no marks."""
    low: Sequence[float] | None = None
    """Lower edge of a band; of a single point, of a line."""
    high: Sequence[float] | None = None


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What the panels of a figure share."""

    x: tuple[float, float]
    """On a log scale."""
    y: tuple[float, float]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    from_x: float | None = None
    """Where what was not measured begins; it is shaded."""


def panels(drawn: Iterable[Html], caption: Html | str) -> Html:
    """Put panels into one figure."""
    return element(
        "figure",
        element("div", *drawn, class_="panels"),
        element("figcaption", caption),
    )


def panel(title: str, series: Sequence[Series], axes: Axes, describe: str) -> Html:
    """Draw one panel.

    Args:
        title: Shown above it.
        series: From back to front.
        axes: The same for all panels of a figure.
        describe: In words, for whoever cannot see it.
    """
    parts: list[Html] = [element("title", f"{title}: {describe}")]
    if axes.from_x is not None:
        left = _x(axes.from_x, axes)
        parts.append(
            element(
                "rect", x=left, y=_TOP, width=_WIDTH - _RIGHT - left,
                height=_HEIGHT - _TOP - _BOTTOM, class_="beyond",
            )
        )  # fmt: skip
    parts += _grid(axes)
    for one in series:
        parts += _drawn(one, axes)
    parts.append(element("text", title, x=_LEFT, y=13, class_="title"))
    return element(
        "svg", *parts, role="img", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", class_="panel",
        aria_label=f"{title}: {describe}",
    )  # fmt: skip


def round_ticks(most: float, count: int = 3) -> list[float]:
    """Choose about as many round numbers from zero up to a value, which the last one may exceed."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    return [k * step for k in range(math.ceil(most / step * 0.999) + 1)]


def _grid(axes: Axes) -> Iterable[Html]:
    for value, label in axes.y_ticks:
        y = _y(value, axes)
        yield element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
        yield element("text", label, x=_LEFT - 5, y=y + 3.5, text_anchor="end")
    for value, label in axes.x_ticks:
        x = _x(value, axes)
        yield element(
            "line", x1=x, x2=x, y1=_HEIGHT - _BOTTOM, y2=_HEIGHT - _BOTTOM + 3, class_="grid"
        )
        anchor = "end" if x > _WIDTH - 24 else "middle"
        at = _WIDTH - 2 if anchor == "end" else x
        yield element("text", label, x=at, y=_HEIGHT - 7, text_anchor=anchor)


def _drawn(series: Series, axes: Axes) -> Iterable[Html]:
    xs = [_x(x, axes) for x in series.x]
    ys = [_y(y, axes) for y in series.y]
    if series.low is not None and series.high is not None and len(xs) > 1:
        low = [_y(y, axes) for y in series.low]
        high = [_y(y, axes) for y in series.high]
        edge = [*zip(xs, high, strict=True), *reversed(list(zip(xs, low, strict=True)))]
        yield element("polygon", points=_points(edge), class_=f"band {series.kind}")
    if series.low is not None and series.high is not None and len(xs) == 1:
        low, high = _y(series.low[0], axes), _y(series.high[0], axes)
        yield element("line", x1=xs[0], x2=xs[0], y1=low, y2=high, class_=f"whisker {series.kind}")
    if series.line is not None and len(xs) > 1:
        yield element(
            "polyline",
            points=_points(zip(xs, ys, strict=True)),
            class_=f"line {series.line} {series.kind}",
        )
    for x, y, full in zip(xs, ys, series.filled or (), strict=False):
        yield element(
            "circle",
            cx=x,
            cy=y,
            r=_RADIUS,
            class_=f"mark {'full' if full else 'open'} {series.kind}",
        )


def _points(edge: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)


def _x(value: float, axes: Axes) -> float:
    low, high = (math.log(edge) for edge in axes.x)
    part = 0.5 if high <= low else (math.log(value) - low) / (high - low)
    return round(_LEFT + 6 + part * (_WIDTH - _LEFT - _RIGHT - 12), 1)


def _y(value: float, axes: Axes) -> float:
    low, high = axes.y
    part = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5
    return round(_HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM), 1)
