"""The part of the page with texts: the beginnings of some documents of each domain."""

from __future__ import annotations

from mixscale.pages.elements import Html, element
from mixscale.pages.frame import details, paragraph, section
from mixscale.shards.page.contents import Contents, Sample
from mixscale.shards.page.wording import plural, shown

_CHARACTERS = 700
_META_CHARACTERS = 240
_MOST_REASONS = 3


def texts(contents: Contents) -> Html | None:
    """Show a text of every domain, and more of each behind a click."""
    parts: list[Html] = []
    for domain in contents.domains:
        found = contents.samples.get(domain, [])
        if not found:
            continue
        parts.append(element("h3", domain))
        parts.append(_text(found[0]))
        more = details(f"{len(found) - 1} more of {domain}", *map(_text, found[1:]))
        if len(found) > 1 and more is not None:
            parts.append(more)
    if contents.unreadable:
        parts.insert(0, _unreadable(contents))
    if not parts:
        return None
    return section(
        "Texts",
        paragraph(
            "The beginnings of training documents, read back from the shards as a run will see "
            "them. They were chosen by a hash of the text: the same ones on every page of this "
            "shard set.",
        ),
        *parts,
    )


def _unreadable(contents: Contents) -> Html:
    reasons = "; ".join(shown(reason, 300) for reason in contents.unreadable[:_MOST_REASONS])
    return paragraph(
        f"Some texts cannot be read back: {reasons}. ",
        element("code", f"mixscale verify {contents.folder}"),
        " says what is damaged.",
    )


def _text(sample: Sample) -> Html:
    document = sample.document
    about = f"{shown(document.place, 200)}, {plural(document.tokens, 'token')}"
    text = shown(sample.text, _CHARACTERS)
    if not sample.is_whole and not text.endswith("…"):
        text += "…"
    return element(
        "figure",
        # A text may be in a language that is written from the right.
        element(
            "pre",
            text,
            dir="auto",
        ),
        element(
            "figcaption",
            about,
            None
            if not document.meta
            else element("code", " ", shown(document.meta, _META_CHARACTERS)),
        ),
    )
