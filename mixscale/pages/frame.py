"""What every page has: the document around its sections."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from mixscale.pages.elements import Child, Html, element, joined
from mixscale.pages.glossary import glossary

_BLOCK = re.compile(r"(?=<(?:head|body|main|section|tr|h2|details|footer|figure|style)\b)")


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page, whole in one file: it needs no other and asks the network for nothing."""

    title: str
    """In the window's title and, unless `heading` is given, at the top."""
    heading: Child = None
    """What stands at the top instead of the title."""
    lead: Child = None
    """The line under the heading."""
    sections: Sequence[Html | None]
    """In their order; None is left out."""
    footer: Child = None
    """What made the page, and from what."""


def render(page: Page) -> str:
    """Write the document."""
    header = element(
        "header",
        element("h1", page.heading or page.title),
        None if page.lead is None else element("p", page.lead, class_="lead"),
    )
    body = element("main", header, *page.sections)
    words = glossary(body)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", page.title),
        element("style", Html(_style())),
    )
    foot = None if page.footer is None else element("footer", element("p", page.footer))
    whole = element("html", head, _unbroken(element("body", body, words, foot)), lang="en")
    return f"<!doctype html>\n{_broken_into_lines(whole)}\n"


def section(title: str, *parts: Child, **attributes: object) -> Html | None:
    """Write a part of the page with its heading; None when there is nothing in it."""
    held = [part for part in parts if part is not None and part != ""]
    if not held:
        return None
    name = anchor(title)
    return element(
        "section",
        element("h2", title, id=name),
        *held,
        **{"aria_labelledby": name, **attributes},
    )


def details(summary: Child, *parts: Child, **attributes: object) -> Html | None:
    """Write a part that opens on a click and is left out of print; None with nothing in it."""
    held = [part for part in parts if part is not None and part != ""]
    return element("details", element("summary", summary), *held, **attributes) if held else None


def paragraph(*parts: Child, **attributes: object) -> Html:
    """Write a paragraph of texts and elements."""
    return element("p", joined(parts), **attributes)


def anchor(title: str) -> str:
    """Name the place of a heading for links."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@cache
def _style() -> str:
    text = files("mixscale.pages").joinpath("page.css").read_text(encoding="utf-8")
    return "\n" + re.sub(r"/\*.*?\*/\n?", "", text, flags=re.DOTALL)


def _unbroken(body: Html) -> Html:
    """Keep a number with its percent sign on one line."""
    return Html(body.replace(" %", "\u00a0%"))


def _broken_into_lines(html: str) -> str:
    """Start each block on a line of its own, for whoever reads or compares the source."""
    return re.sub(
        r"(?=<(?:head|body|main|section|tr|h2|details|footer|figure|style)\b)", "\n", html
    )
