"""The page that shows a shard set to people: `report.html`."""

from __future__ import annotations

from pathlib import Path

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.shardset import TRAIN, ShardSet
from mixscale.pages.elements import Html, element, joined, listed
from mixscale.pages.frame import Page, paragraph, render, section
from mixscale.pages.glossary import term
from mixscale.pages.tables import facts
from mixscale.shards.page.cautions import Caution, cautions
from mixscale.shards.page.contents import Contents, gather
from mixscale.shards.page.losses import copies, reasons, statuses
from mixscale.shards.page.overview import domains, lengths, unfinished
from mixscale.shards.page.texts import texts
from mixscale.shards.page.wording import count, part, plural, shown, with_code

PAGE = "report.html"
_MOST_NAMED = 12
"""Domains of one caution."""


def report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a shard set, or of a build that refused its input.

    The page holds everything it shows: it needs no other file and asks the network for nothing.

    Args:
        folder: The shard set, or where the build writes.
        out: The file to write; `report.html` in the folder when absent.

    Raises:
        UserError: The folder is neither.
    """
    contents = gather(folder)
    page = folder / PAGE if out is None else out
    with atomic_write(page) as stream:
        stream.write(render_page(contents))
    return page


def render_page(contents: Contents) -> str:
    """Lay out the page."""
    kind = "Unfinished build" if contents.shardset is None else "Shard set"
    # The folder's own name is often just `shardset`.
    place = "/".join(contents.folder.resolve().parts[-2:]).lstrip("/")
    return render(
        Page(
            title=shown(f"{kind} {place}", 200),
            lead=_lead(contents),
            sections=[
                unfinished(contents),
                _verdict(contents),
                domains(contents),
                lengths(contents),
                statuses(contents),
                reasons(contents),
                copies(contents),
                texts(contents),
                _tokenizer(contents.shardset),
            ],
            footer=_made_by(contents.shardset),
        )
    )


def _lead(contents: Contents) -> Html | None:
    shardset = contents.shardset
    if shardset is None:
        return joined([f"{plural(contents.records(), 'record')} read."])
    tokens = sum(contents.tokens(name, TRAIN) for name in shardset.domain_names)
    return joined(
        [
            f"{count(tokens)} training tokens in {plural(len(shardset.domains), 'domain')}, ",
            "cut into ",
            term("sample", "samples"),
            f" of {count(shardset.sequence_length)} tokens.",
        ]
    )


def _verdict(contents: Contents) -> Html:
    """Say first whether there is something to look at."""
    found = cautions(contents)
    total = contents.records()
    kept = contents.records(status="kept")
    kept_part = part(kept / total) if total else "0 %"
    summary = f"{count(kept)} of {plural(total, 'record')} were kept ({kept_part})."
    if not found:
        head = element("strong", "Nothing odd was found. ")
        checked = (
            "Looked at: what was left out and why, repeated text, lengths of documents, tokens per "
            "byte, the size of the validation split. Read some texts all the same."
        )
        return element(
            "div",
            element("p", head, summary, class_="headline"),
            element("p", checked),
            class_="verdict",
        )
    number = len(found)
    things = "1 thing" if number == 1 else f"{number} things"
    before = "training" if contents.shardset else "building again"
    head = element("strong", f"{things} to look at before {before}. ")
    return element(
        "div",
        element("p", head, summary, class_="headline"),
        listed(_caution(one) for one in found),
        class_="verdict keep",
    )


def _caution(one: Caution) -> Html:
    named = "; ".join(f"{name} {text}" for name, text in one.domains[:_MOST_NAMED])
    more = len(one.domains) - _MOST_NAMED
    others = f"; and {plural(more, 'domain')} more" if more > 0 else ""
    return joined([element("b", one.title), f": {named}{others}. ", with_code(one.remedy)])


def _tokenizer(shardset: ShardSet | None) -> Html | None:
    if shardset is None:
        return None
    tokenizer = shardset.tokenizer
    settings = shardset.config.get("tokenizer") or {}
    trained = settings.get("train")
    source = (
        f"trained on this text, {count(trained.get('vocab_size', 0))} tokens"
        if isinstance(trained, dict)
        else str(settings.get("name"))
    )
    pairs: list[tuple[object, object]] = [
        ("from", source),
        ("token ids", f"below {tokenizer.vocab_size:,}"),
        (
            "texts end with",
            joined([element("code", tokenizer.eos_token), f", id {tokenizer.eos_token_id}"]),
        ),
    ]
    if tokenizer.bos_token is not None:
        pairs.append(
            (
                "texts begin with",
                joined([element("code", tokenizer.bos_token), f", id {tokenizer.bos_token_id}"]),
            )
        )
    if encoder := shardset.versions.get("encoder"):
        pairs.append(("encoded by", encoder))
    return section(
        "Tokenizer",
        facts(pairs),
        paragraph(
            "Its files are in the folder ", element("code", tokenizer.path), " of the ",
            term("shard set"), ".",
        ),
    )  # fmt: skip


def _token(text: str, number: int | None) -> Html:
    return joined([element("code", text), f", id {number}"])


def _made_by(shardset: ShardSet | None) -> str:
    if shardset is None:
        return "mixscale. The records are in .build/documents; mixscale sql answers questions."
    return (
        f"mixscale {shardset.mixscale_version}, content {shardset.content_sha256[:12]}. "
        "mixscale sql answers every other question about it; docs/sql.md lists the views."
    )
