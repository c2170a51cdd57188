"""Small histograms that share their axis, for panels side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixscale.pages.bars import Kind
from mixscale.pages.elements import Html, element

# In units of the drawing, as those of `panels`.
_WIDTH, _HEIGHT = 230, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 22, 22


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the histograms of a figure share."""

    first: int
    """The leftmost bucket."""
    last: int
    """The rightmost."""
    ticks: Sequence[tuple[float, str]]
    """Places, in buckets, with what stands there."""


def histogram(
    title: str,
    counts: Mapping[int, int],
    scale: Scale,
    describe: str,
    *,
    mark: float | None = None,
    kind: Kind = "advised",
) -> Html:
    """Draw how many things lie in each bucket, as high as the panel at the fullest.

    Args:
        title: Shown above it.
        counts: Things by number of the bucket.
        scale: The same for all histograms of a figure.
        describe: In words, for whoever cannot see it.
        mark: A place, in buckets, that a line marks.
        kind: The colour.
    """
    bottom = _HEIGHT - _BOTTOM
    most = max(counts.values(), default=1)
    step = (_WIDTH - _LEFT - _RIGHT) / (scale.last - scale.first + 1)
    parts: list[Html] = [
        element("title", f"{title}: {describe}"),
        element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="grid"),
    ]
    for bucket, count in sorted(counts.items()):
        # What is there must be seen, however little it is.
        height = max(1.0, (bottom - _TOP) * count / most)
        parts.append(
            element(
                "rect", x=_LEFT + (bucket - scale.first) * step + 0.4, y=bottom - height,
                width=max(0.5, step - 0.8), height=height, class_=kind,
            )
        )  # fmt: skip
    if mark is not None:
        x = _place(mark, scale, step)
        parts.append(element("line", x1=x, x2=x, y1=_TOP - 2, y2=bottom, class_="span"))
    for place, label in scale.ticks:
        x = _place(place, scale, step)
        parts.append(element("line", x1=x, x2=x, y1=bottom, y2=bottom + 3, class_="grid"))
        anchor = "start" if x < 20 else "end" if x > _WIDTH - 24 else "middle"
        parts.append(element("text", label, x=x, y=_HEIGHT - 7, text_anchor=anchor))
    parts.append(element("text", title, x=_LEFT, y=13, class_="title"))
    return element(
        "svg", *parts, role="img", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", class_="panel",
        aria_label=f"{title}: {describe}",
    )  # fmt: skip


def _place(bucket: float, scale: Scale, step: float) -> float:
    return _LEFT + (bucket - scale.first) * step
