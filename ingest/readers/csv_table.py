"""CSV and TSV files: the first row names the fields, each other row is a record."""

from __future__ import annotations

import csv
import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.lines import line_blocks, unit_chunks
from mixscale.ingest.readers.malformed import Empty, Malformed, Unreadable
from mixscale.ingest.readers.source_file import Unit

_BLOCK_RECORDS = 256
_MOST_LINES = 100_000
"""A quoted field of more lines has lost its closing quote."""
_LARGEST_FIELD = 1 << 31


def read_csv(unit: Unit) -> Blocks:
    """Yield the records of a file with commas."""
    yield from _blocks(unit, ",")


def read_tsv(unit: Unit) -> Blocks:
    """Yield the records of a file with tabs."""
    yield from _blocks(unit, "\t")


def _blocks(unit: Unit, delimiter: str) -> Blocks:
    rows = _Rows(unit, delimiter).read()
    names = next(rows, None)
    if names is None:
        return
    if isinstance(names, Malformed):
        yield [names]
        return
    records = (_record(names, row) for row in rows)
    while block := list(itertools.islice(records, _BLOCK_RECORDS)):
        yield block


def _record(names: list[Any], row: Any) -> Any:
    if not isinstance(row, list):
        return row
    if not row:
        return Empty("a blank line")
    if len(row) != len(names):
        return Malformed(f"{len(row)} fields, expected {len(names)}")
    return dict(zip(names, row, strict=True))


class _Rows:
    """The rows of a table; one that cannot be read costs no other."""

    def __init__(self, unit: Unit, delimiter: str) -> None:
        self._lines = _text_lines(unit)
        self._delimiter = delimiter
        self._waiting: deque[str] = deque()
        """Lines that were taken for a row that is none."""
        self._taken: list[str] = []
        self._damage: Malformed | None = None
        self._columns = 0
        """As many as the first row has, once that is known."""

    def read(self) -> Iterator[list[Any] | Malformed]:
        """Yield each row, or what stands in its place."""
        csv.field_size_limit(_LARGEST_FIELD)
        while True:
            self._taken = []
            try:
                row = next(csv.reader(self._next_lines(), delimiter=self._delimiter, strict=True))
            except StopIteration:
                break
            except (csv.Error, _TooLong) as error:
                self._waiting.extendleft(reversed(self._taken[1:]))
                yield self._without_quotes() or Malformed(f"not a row of the table: {error}")
            else:
                self._columns = self._columns or len(row)
                yield [_readable(field) for field in row]
        if self._damage is not None:
            yield self._damage

    def _without_quotes(self) -> list[Any] | None:
        """Read a line with tabs whose quotes are part of the text, as many writers leave them."""
        fields = self._taken[0].rstrip("\r\n").split(self._delimiter)
        is_whole = self._delimiter == "\t" and len(fields) == self._columns
        return [_readable(field) for field in fields] if is_whole else None

    def _next_lines(self) -> Iterator[str]:
        while len(self._taken) < _MOST_LINES:
            line = self._waiting.popleft() if self._waiting else next(self._lines, None)
            if line is None or isinstance(line, Malformed):
                self._damage = line or self._damage
                return
            self._taken.append(line)
            yield line
        raise _TooLong(f"a quote is not closed within {_MOST_LINES} lines")


class _TooLong(Exception):
    """More lines than a row may have."""


def _text_lines(unit: Unit) -> Iterator[str | Malformed]:
    for lines in line_blocks(unit_chunks(unit)):
        if isinstance(lines, Malformed):
            yield lines
            return
        for line in lines:
            yield line.decode("utf-8", "surrogateescape") + "\n"


def _readable(field: str) -> str | Unreadable:
    try:
        field.encode("utf-8")
    except UnicodeEncodeError:
        return Unreadable("not UTF-8")
    return field


CSV = Reader(name="csv", endings=("csv",), read=read_csv)
TSV = Reader(name="tsv", endings=("tsv",), read=read_tsv)
