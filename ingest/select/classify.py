"""The status of each record of a unit, as far as the unit alone can tell it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import xxhash

from mixscale.ingest.corpus import Near
from mixscale.ingest.readers.malformed import Damaged, Empty, Malformed, PartlyRead
from mixscale.ingest.readers.records import record_blocks
from mixscale.ingest.readers.source_file import Unit
from mixscale.ingest.select.rules import Routing, Rule, cut_window, find_text, is_unicode
from mixscale.ingest.unit_rows import (
    DUPLICATE,
    FILTERED,
    KEPT,
    STATUS,
    TOO_SHORT,
    UNROUTED_RANK,
    Row,
    compute_columns,
)
from mixscale.shards.sql.documents import TextRecord

_NO_RECORD = (Malformed, Empty)
_BLOCK_BYTES = 1 << 22
_BLOCK_ROWS = 1 << 13
_MAX_REMEMBERED = 1 << 18


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How all units of a build are read."""

    rules: tuple[Rule, ...]
    routing: Routing | None
    skip_repeats: bool
    """Texts repeated inside the unit and domain need no tokens: they are duplicates anyway."""
    near: Near | None = None
    """How texts are signed, when they are."""


@dataclass
class Block:
    """Rows and texts gathered until there are enough of them to encode at once."""

    rows: list[Row] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """Those of the rows that are kept, in order."""
    size: int = 0
    """Bytes of these texts and of the meta of all rows."""


def classified_blocks(
    unit: Unit, settings: ReadSettings, block_bytes: int = _BLOCK_BYTES
) -> Iterator[Block]:
    """Read a unit and classify its records, about `block_bytes` of text and meta at a time."""
    classifier = _Classifier(unit, settings)
    for records in record_blocks(unit):
        records.reverse()
        while records:
            # Nothing else holds the record: its text may be as large as all the rest.
            classifier.add(records.pop())
            # The encoder takes some kilobytes for each text, however short.
            is_long = len(classifier.block.rows) >= _BLOCK_ROWS
            if is_long or classifier.block.size >= block_bytes:
                yield classifier.take()
    yield classifier.take()


class _Classifier:
    """Decides for each record what can be decided without the other units."""

    def __init__(self, unit: Unit, settings: ReadSettings) -> None:
        domain = unit.file.domain
        self._rules = settings.rules
        self._routing = settings.routing if domain is None else None
        names = [rule.domain for rule in settings.rules]
        self._rank = UNROUTED_RANK if domain is None else names.index(domain)
        self._seen: set[tuple[int, bytes]] | None = set() if settings.skip_repeats else None
        self.block = Block()

    def take(self) -> Block:
        block, self.block = self.block, Block()
        return block

    def add(self, record: Any) -> None:
        if isinstance(record, Damaged):
            record = self._with_whole_text(record)
        if isinstance(record, _NO_RECORD):
            self._reject(self._rank, record.status, record.detail)
            return
        rank = self._rank_of(record)
        if rank is None:
            detail = self._routing.complaint(record) if self._routing else None
            self._reject(UNROUTED_RANK, "filtered", detail)
            return
        rule = self._rules[rank]
        text = find_text(record, rule.text)
        if isinstance(text, tuple):
            status, detail = text
            meta, loss = rule.meta.json(record) if isinstance(record, dict) else (None, None)
            self._reject(rank, status, _joined(detail, loss), meta)
            return
        self._add_text(rank, rule, record, text)

    def _with_whole_text(self, record: Damaged) -> Damaged | PartlyRead:
        """Keep a record of which something else than the text is damaged."""
        rank = self._rank_of(record.fields)
        text = None if rank is None else find_text(record.fields, self._rules[rank].text)
        is_whole = isinstance(text, str) and is_unicode(text)
        return PartlyRead(record.fields, record.detail) if is_whole else record

    def _rank_of(self, record: Any) -> int | None:
        if self._routing is None:
            return self._rank
        return self._routing.rank(record) if isinstance(record, dict) else None

    def _reject(
        self, rank: int, status: str, detail: str | None, meta: bytes | None = None
    ) -> None:
        self.block.rows.append(Row(rank, STATUS.index(status), detail, meta))
        self.block.size += len(meta or b"")

    def _add_text(self, rank: int, rule: Rule, record: dict[str, Any], text: str) -> None:
        detail: str | None = None
        refusing = rule.refusing_filter(record) if rule.filters else None
        if refusing is not None:
            status, detail = FILTERED, refusing
        elif len(text) < rule.min_characters:
            status = TOO_SHORT
            detail = f"{len(text)} characters, fewer than {rule.min_characters}"
        else:
            status = KEPT
        if rule.window is not None:
            text = cut_window(text, rule.window)
        data = text.encode("utf-8")
        digest = xxhash.xxh3_128_digest(data)
        if status == KEPT and self._is_repeat(rank, digest):
            status = DUPLICATE
        meta, loss = rule.meta.json(record)
        block = self.block
        computed = compute_columns(TextRecord(text, data, record))
        block.rows.append(Row(rank, status, _joined(detail, loss), meta, digest, computed))
        block.size += len(meta or b"")
        if status == KEPT:
            block.texts.append(data)
            block.size += len(data)

    def _is_repeat(self, rank: int, digest: bytes) -> bool:
        if self._seen is None:
            return False
        key = rank, digest
        if key in self._seen:
            return True
        # Only saves work, so it may forget: the whole corpus is compared later.
        if len(self._seen) < _MAX_REMEMBERED:
            self._seen.add(key)
        return False


def _joined(detail: str | None, loss: str | None) -> str | None:
    return f"{detail}; {loss}" if detail and loss else detail or loss
