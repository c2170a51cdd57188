"""HTML and SVG elements, whose texts are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

Html = Markup
"""Text that is markup already; every other text is escaped where it is put into an element."""

_VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "wbr"})
Child = object
"""An element, a text, a number; None is left out."""


def element(tag: str, *children: Child, **attributes: object) -> Html:
    """Write one element.

    Args:
        tag: Its name.
        children: What it holds, in this order.
        attributes: By name; `_` in a name is written as `-`, and one at the end is dropped, so
            that `class_` and `for_` can be given. None and False are left out, True stands alone.
    """
    opening = Html("<") + tag
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        opening += Html(" ") + name.rstrip("_").replace("_", "-")
        if value is not True:
            opening += Html('="{}"').format(_text(value))
    if tag in _VOID:
        return opening + Html(">")
    return opening + Html(">") + joined(children) + Html("</") + tag + Html(">")


def joined(parts: Iterable[Child], between: str = "") -> Html:
    """Put elements and texts in a row."""
    return escape(between).join(_text(part) for part in parts if part is not None)


def listed(items: Iterable[Child], **attributes: object) -> Html | None:
    """Write a list of points; None when there are none."""
    points = [element("li", item) for item in items]
    return element("ul", *points, **attributes) if points else None


def breakable(name: str) -> Html:
    """Let a long name go on in another line behind its signs."""
    parts = re.split(r"(?<=[_:/.-])(?=[^_:/.-])", name)
    return Html("<wbr>").join(parts)


def _text(part: Child) -> Html:
    # Coordinates of figures need no more digits, and a page repeats to the byte.
    return escape(f"{part:.6g}" if isinstance(part, float) else part)
