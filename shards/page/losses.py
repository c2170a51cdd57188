"""The part of the page with what was left out: how much, why, where, and of which text a copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mixscale.pages.elements import Html, element, joined
from mixscale.pages.frame import details, paragraph, section
from mixscale.pages.glossary import term
from mixscale.pages.heat_map import heat_cell
from mixscale.pages.tables import cell, facts, small, table
from mixscale.shards.page.contents import Contents
from mixscale.shards.page.queries import Example, Reason
from mixscale.shards.page.wording import count, part, plural, shown, size, status_name
from mixscale.shards.sql.documents import STATUSES

_MOST_DOMAINS = 30
"""Of a table with a column for each."""
_MOST_SHOWN = 16
_DETAIL_CHARACTERS = 300


def statuses(contents: Contents) -> Html | None:
    """Show what became of the records of each domain."""
    used = [status for status in STATUSES if contents.records(status=status)]
    if not used:
        return None
    rows = []
    for domain in contents.domains:
        total = contents.records(domain=domain)
        cells: list[object] = [domain, count(total)]
        for status in used:
            number = contents.records(domain=domain, status=status)
            share = number / total if total else 0.0
            text = joined([count(number), _on_colour(part(share))])
            strength = 0.0 if status == "kept" else -min(1.0, 2 * share)
            cells.append(heat_cell(text, strength) if number else cell("0"))
        rows.append(cells)
    heads = ["Domain", "Records", *(_head(status) for status in used)]
    return section(
        "What became of the records",
        table("Records of each domain by what became of them", heads, rows),
        _meanings(used),
    )


def _head(status: str) -> Html | str:
    name = status_name(status).capitalize()
    return term("duplicate", name) if "duplicate" in status else name


def _meanings(used: Sequence[str]) -> Html | None:
    """Say what the statuses mean; the duplicates have an entry among the words."""
    explained = [
        (status_name(status), STATUSES[status])
        for status in used
        if status not in ("kept", "duplicate")
    ]
    return facts(explained) if explained else None


def reasons(contents: Contents) -> Html | None:
    """Say why records were left out, with examples."""
    if not contents.reasons:
        return None
    rows = [
        [
            reason.domain,
            cell(
                shown(reason.why, _DETAIL_CHARACTERS) or "no further reason",
                small(status_name(reason.status)),
                class_="text",
            ),
            count(reason.records),
            shown(reason.examples[0].place, 200) if reason.examples else "",
        ]
        for reason in contents.reasons[:_MOST_SHOWN]
    ]
    shown_records = sum(reason.records for reason in contents.reasons[:_MOST_SHOWN])
    rejected = sum(
        contents.records(status=status)
        for status in STATUSES
        if status not in ("kept", "duplicate", "near_duplicate")
    )
    more = rejected - shown_records
    return section(
        "Why records were left out",
        table(
            "Reasons, the commonest first",
            ["Domain", "Why", "Records", "One of them"],
            rows,
            text_columns=(1, 3),
        ),
        paragraph(f"{plural(more, 'record')} for other reasons. ", class_="note") if more else None,
        _files(contents),
        *(_examples(reason) for reason in contents.reasons[:_MOST_SHOWN]),
        paragraph(
            "All of them: ",
            element("code", f'mixscale sql {contents.folder} "FROM rejects"'),
            class_="note",
        ),
    )


def _files(contents: Contents) -> Html | None:
    rows = [
        [shown(one.file, 200), one.domain, count(one.rejected), count(one.records)]
        for one in contents.worst_files
    ]
    heads = ["Input file", "Domain", "Left out", "Of"]
    body = table(
        "Input files from which most records were left out", heads, rows, text_columns=(1,)
    )
    return details("By input file", body) if rows else None


def _examples(reason: Reason) -> Html | None:
    why = shown(reason.why, 90)
    title = f"{reason.domain}, {status_name(reason.status)}{': ' if why else ''}{why}"
    return details(f"Examples of {title}", *(_example(one) for one in reason.examples))


def _example(example: Example) -> Html:
    """Show a record as far as the index keeps it: of its text only the length."""
    pairs: list[tuple[object, object]] = [("record", shown(example.place, 300))]
    if example.detail:
        pairs.append(("why", shown(example.detail, _DETAIL_CHARACTERS)))
    if example.characters:
        pairs.append(("text", f"{plural(example.characters, 'character')}, in the input file"))
    if example.meta:
        pairs.append(("other fields", element("code", shown(example.meta, 300))))
    return facts(pairs)


def copies(contents: Contents) -> Html | None:
    """Show which domains repeat texts of which."""
    if not contents.copies:
        return None
    names = [name for name in contents.domains if any(name in pair for pair in contents.copies)]
    intro = paragraph(
        "Of equal or nearly equal texts one stays. A row is the domain that a copy was left out "
        "of, a column the domain that keeps the text. Bytes of the copies, with their part of the "
        "text of the row's domain.",
    )
    if len(names) > _MOST_DOMAINS:
        return section("Duplicates", intro, _listed(contents), _near(contents), *_pairs(contents))
    rows = [[name, *(_copied(contents, name, kept) for kept in names)] for name in names]
    body = table(
        "Bytes of copies by their domain and by the domain that keeps the text",
        ["Left out of", *names],
        rows,
    )
    return section("Duplicates", intro, body, _near(contents), *_pairs(contents))


def _copied(contents: Contents, domain: str, kept: str) -> Html:
    records, copied = contents.copies.get((domain, kept), (0, 0))
    if not records:
        return cell("")
    whole = contents.bytes(domain, "kept") + sum(
        contents.bytes(domain, status) for status in ("duplicate", "near_duplicate")
    )
    share = copied / whole if whole else 0.0
    text = joined([size(copied), _on_colour(part(share))])
    return heat_cell(text, -min(1.0, 2 * share))


def _on_colour(text: str) -> Html:
    """Write a cell's second line in the colour of the first, which a coloured cell needs."""
    return element("small", text, style="color:inherit")


def _near(contents: Contents) -> Html | None:
    near = contents.records(status="near_duplicate")
    if not near:
        return None
    return paragraph(f"{plural(near, 'record')} of these are near duplicates.", class_="note")


def _pairs(contents: Contents) -> Iterator[Html | None]:
    """Show some copies with the records that stay in their place."""
    for status, found in contents.copy_examples.items():
        pairs = [("left out", shown(copy, 300), "stays", shown(kept, 300)) for copy, kept in found]
        lines = [facts([pair[:2], pair[2:]]) for pair in pairs]
        yield details(f"Examples of {status_name(status)}s", *lines)


def _listed(contents: Contents) -> Html:
    """Write the pairs of domains as rows, where they are too many for columns."""
    found = sorted(contents.copies.items(), key=lambda item: -item[1][1])[:_MOST_DOMAINS]
    rows: Iterable[list[object]] = (
        [domain, kept, count(records), size(copied)] for (domain, kept), (records, copied) in found
    )
    heads = ["Left out of", "Stays in", "Records", "Bytes"]
    return table("Pairs of domains with most duplicates", heads, rows, text_columns=(1,))
