"""Tables that a screen reader can walk, and a phone can scroll."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mixscale.pages.elements import Child, Html, element


def table(
    caption: str,
    heads: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    *,
    show_caption: bool = False,
    text_columns: Sequence[int] = (),
    class_: str | None = None,
) -> Html:
    """Write a table whose first column names its rows.

    Args:
        caption: What it shows; read to those who cannot see it even where it is not shown.
        heads: Of the columns.
        rows: Their cells; one made by `cell` brings its own attributes.
        show_caption: Whether the caption is visible.
        text_columns: Columns of words, which stand left; numbers stand right.
        class_: For the style sheet.
    """
    left = {0, *text_columns}
    head = element(
        "tr", *(element("th", h, scope="col", class_=_side(i, left)) for i, h in enumerate(heads))
    )
    body = [element("tr", *_cells(row, left)) for row in rows]
    return scrolling(
        caption,
        element(
            "table",
            element("caption", caption, class_=None if show_caption else "unseen"),
            element("thead", head),
            element("tbody", *body),
            class_=class_,
        ),
    )


def scrolling(label: str, body: Html) -> Html:
    """Let something wide scroll by itself, with the keyboard too."""
    return element("div", body, class_="scroll", role="group", aria_label=label, tabindex=0)


def cell(*parts: Child, **attributes: object) -> Html:
    """Write a table's cell with attributes of its own."""
    return element("td", *parts, **attributes)


def small(*parts: Child) -> Html:
    """Write a cell's second line, in small print."""
    return element("small", *parts)


def facts(pairs: Iterable[tuple[Child, Child]]) -> Html:
    """Write names with their values, as a list of two columns."""
    rows = [element("div", element("dt", name), element("dd", value)) for name, value in pairs]
    return element("dl", *rows, class_="facts")


def _cells(row: Sequence[Child], left: set[int]) -> Iterable[Html]:
    for i, value in enumerate(row):
        if isinstance(value, Html) and value.startswith(("<td", "<th")):
            yield value
        elif i == 0:
            yield element("th", value, scope="row")
        else:
            yield element("td", value, class_=_side(i, left))


def _side(column: int, left: set[int]) -> str | None:
    return "text" if column in left else None
