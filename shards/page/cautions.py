"""What about a shard set a person should look at before paying for training on it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mixscale.contracts.shardset import TRAIN, VALIDATION, SplitSummary
from mixscale.shards.page.contents import Contents
from mixscale.shards.page.queries import Lengths
from mixscale.shards.page.wording import count, part, plural, status_name
from mixscale.shards.sql.documents import REJECTED

_MALFORMED = 0.1
_REJECTED = 0.5
_DUPLICATES = 0.3
_EVALUATED_TOKENS = 65536
"""What proxy runs are measured on, of each domain, when experiment.yaml does not say."""
_SHORT = 20
_LONGEST_PART = 0.2
_DENSE = 1.6
_REMAINDER = 0.05


@dataclass(frozen=True, kw_only=True)
class Caution:
    """One thing to look at, and the domains that it is true of."""

    title: str
    domains: tuple[tuple[str, str], ...]
    """Name, and what was found of it."""
    remedy: str


Found = Iterator[tuple[str, str]]


def cautions(contents: Contents) -> list[Caution]:
    """List what is odd; what costs most text first."""
    kinds = (
        (
            "Much was left out",
            _left_out(contents),
            "The reasons are below; a field or a filter in corpus.yaml may be wrong.",
        ),
        (
            "Much of the text repeats other text",
            _repeated(contents),
            "The table of duplicates says which domain keeps it; `duplicates.priority` in "
            "corpus.yaml decides that.",
        ),
        (
            "One document is a large part of its domain",
            _longest(contents),
            "A whole file may have been read for one document; `separator` in corpus.yaml divides "
            "texts.",
        ),
        (
            "Documents are very short",
            _short(contents),
            "Titles or single lines may have been read for documents: look at the texts below.",
        ),
        (
            "The tokenizer makes many tokens of a byte",
            _dense(contents),
            "It does not know this kind of text, or it is not text.",
        ),
        (
            "Training tokens fill no whole sample",
            _remainders(contents),
            "Give these domains more text, or take a shorter `sequence_length`.",
        ),
        (
            "Little is held out for validation",
            _held_out(contents),
            f"Proxy runs are measured on {count(_EVALUATED_TOKENS)} tokens of each domain unless "
            "told otherwise: hold out more by `split` in corpus.yaml, or lower "
            "`evaluation.tokens_per_domain` in experiment.yaml.",
        ),
    )
    found = []
    for title, domains, remedy in kinds:
        listed = tuple(domains)
        if listed:
            found.append(Caution(title=title, domains=listed, remedy=remedy))
    return found


def _left_out(contents: Contents) -> Found:
    for domain in contents.domains:
        total = contents.records(domain=domain)
        rejected = sum(contents.records(domain=domain, status=status) for status in REJECTED)
        malformed = contents.records(domain=domain, status="malformed")
        if not total or not (rejected >= _REJECTED * total or malformed >= _MALFORMED * total):
            continue
        first = next((reason for reason in contents.reasons if reason.domain == domain), None)
        is_most = first is not None and first.why and 2 * first.records >= rejected
        why = f", mostly {status_name(first.status)}: {first.why}" if first and is_most else ""
        yield domain, f"{part(rejected / total)} of {plural(total, 'record')}{why}"


def _repeated(contents: Contents) -> Found:
    for domain in contents.domains:
        copies = sum(contents.bytes(domain, status) for status in ("duplicate", "near_duplicate"))
        whole = copies + contents.bytes(domain, "kept")
        if whole and copies >= _DUPLICATES * whole:
            yield domain, f"{part(copies / whole)} of its bytes"


def _longest(contents: Contents) -> Found:
    for domain, lengths in _finished(contents):
        tokens = contents.tokens(domain, TRAIN) + contents.tokens(domain, VALIDATION)
        documents = contents.records(domain=domain, status="kept")
        if documents >= 10 and lengths.longest >= _LONGEST_PART * tokens:
            yield domain, f"{count(lengths.longest)} tokens, {part(lengths.longest / tokens)} of it"


def _short(contents: Contents) -> Found:
    for domain, lengths in _finished(contents):
        if lengths.median < _SHORT:
            yield domain, f"half have {lengths.median:.0f} tokens or fewer"


def _finished(contents: Contents) -> Iterator[tuple[str, Lengths]]:
    """Give the lengths in tokens, which an unfinished build has not."""
    if contents.shardset is not None:
        for domain in contents.domains:
            if domain in contents.lengths:
                yield domain, contents.lengths[domain]


def _dense(contents: Contents) -> Found:
    found = {name: contents.tokens_per_byte(name) for name in contents.domains}
    known = {name: value for name, value in found.items() if value is not None}
    if len(known) < 3:
        return
    usual = statistics.median(known.values())
    for domain, value in known.items():
        if value > _DENSE * usual:
            yield domain, f"{value:.2f} tokens per byte, against {usual:.2f} elsewhere"


def _remainders(contents: Contents) -> Found:
    for domain, splits in _streams(contents):
        train = splits.get(TRAIN)
        if train is not None and train.remainder_tokens >= _REMAINDER * max(train.tokens, 1):
            yield domain, part(train.remainder_tokens / train.tokens)


def _held_out(contents: Contents) -> Found:
    for domain, splits in _streams(contents):
        validation = splits.get(VALIDATION)
        assert contents.shardset is not None
        tokens = validation.samples * contents.shardset.sequence_length if validation else 0
        if tokens < _EVALUATED_TOKENS:
            yield domain, f"{count(tokens)} tokens" if tokens else "nothing"


def _streams(contents: Contents) -> Iterator[tuple[str, Mapping[str, SplitSummary]]]:
    if contents.shardset is not None:
        for domain, splits in contents.shardset.domains.items():
            yield domain, {str(name): summary for name, summary in splits.items()}
