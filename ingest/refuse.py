"""Input that gives no shard set worth having is refused, with what became of its records."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import SPLITS
from mixscale.ingest.corpus import (
    UNROUTED,
    Corpus,
    domain_names,
    domains_with_validation_files,
)
from mixscale.ingest.outcomes import Outcomes
from mixscale.ingest.stages.count import Counts


def parse_share(text: str | float) -> float:
    """Read a share: `1%`, or a number from 0 to 1.

    Raises:
        UserError: It is none.
    """
    match = re.fullmatch(r"\s*([0-9.]+)\s*(%?)\s*", str(text))
    try:
        share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UserError(f"max_malformed: expected a share such as 1% or 0.01, found {text!r}")
    return share


ShowRecords = Callable[[], str]
"""Lets people look at the records of a refused build; returns how they do it."""


def refuse_malformed(outcomes: Outcomes, show: ShowRecords) -> None:
    """Stop at malformed records, as `--strict` asks for.

    Raises:
        UserError: There are some; the message names the first ones.
    """
    count, found = outcomes.malformed()
    if count:
        listed = "\n  ".join(found)
        more = f"\n  and {count - len(found)} more" if count > len(found) else ""
        raise UserError(
            f"{count} records cannot be read:\n  {listed}{more}\n"
            "fix them, or build without --strict: they are then left out and listed\n"
            f"{show()}"
        )


def refuse_too_malformed(outcomes: Outcomes, most: float, show: ShowRecords) -> None:
    """Stop when a larger share of the records of a domain cannot be read than is allowed.

    Raises:
        UserError: Names the domains, the reasons and the first records.
    """
    lines = outcomes.too_malformed(most)
    if lines:
        listed = "\n".join(lines)
        raise UserError(
            f"more than {most:.3%} of the records cannot be read:\n{listed}\n"
            f"fix them, or allow more by --max-malformed\n{show()}"
        )


def refuse_too_little_text(
    corpus: Corpus, counts: Counts, outcomes: Outcomes, show: ShowRecords
) -> None:
    """Stop when a stream that was asked for could not hold one sample.

    Raises:
        UserError: Names all such streams, and says what became of the records read for them.
    """
    length = corpus.sequence_length
    with_files = domains_with_validation_files(corpus)
    lines: list[str] = []
    remedies: list[str] = []
    for rank, name in enumerate(domain_names(corpus)):
        short: list[str] = []
        for number, split in enumerate(SPLITS):
            tokens = int(counts.tokens[:, rank, number].sum())
            documents = int(counts.documents[:, rank, number].sum())
            is_wanted = number == 0 or corpus.split.holds_out or rank in with_files
            if tokens < length and is_wanted:
                short.append(
                    f"  {name}/{split}: {documents} documents with {tokens} tokens "
                    f"of {int(counts.rows[:, rank].sum())} records read"
                )
        if short:
            reasons = outcomes.reasons(rank)
            lines += [*short, *(f"    {reason}" for reason in reasons)]
            remedies += _remedies(name, reasons)
    if lines and corpus.route is not None:
        unrouted = outcomes.reasons(len(domain_names(corpus)))
        lines += [f"  {UNROUTED}:", *(f"    {reason}" for reason in unrouted)] if unrouted else []
        remedies += ["check `route.field` and `route.domains`"] if unrouted else []
    if lines:
        listed = "\n".join(lines)
        # What is wrong with the settings comes before what could be asked for instead.
        usual = "give these domains more text, lower `sequence_length`, or change `split`"
        remedy = "\n".join([*dict.fromkeys(remedies), usual])
        raise UserError(
            f"too little text for one sample of {length} tokens:\n{listed}\n{remedy}\n{show()}"
        )


def _remedies(name: str, reasons: Sequence[str]) -> list[str]:
    joined = "\n".join(reasons)
    found: list[str] = []
    if "no field" in joined:
        found.append(f"set `domains.{name}.text` to the field that holds the text")
    if " filtered: " in joined:
        found.append(f"check `domains.{name}.filters`: these conditions take records out")
    if " too_short: " in joined:
        found.append(f"check `domains.{name}.min_characters`")
    return found
