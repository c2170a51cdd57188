"""JSON Lines: one record a line, every line accounted for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.lines import Line, line_blocks, unit_chunks
from mixscale.ingest.readers.malformed import Damaged, Empty, Malformed, PartlyRead
from mixscale.ingest.readers.nesting import MOST_LEVELS, without_deep_levels
from mixscale.ingest.readers.source_file import Unit


def read_jsonl(unit: Unit) -> Blocks:
    """Yield the records of a JSON Lines file, or those whose lines start in a range of it."""
    # Not a loop, whose variable would keep the lines alive beside the records.
    yield from map(_parsed, line_blocks(unit_chunks(unit)))


def _parsed(lines: list[Line] | Malformed) -> list[Any]:
    return [lines] if isinstance(lines, Malformed) else parse_lines(lines)


def parse_lines(lines: Sequence[Line]) -> list[Any]:
    """Parse each line into its JSON value, or into `Malformed` or `Empty`."""
    parsed = []
    for line in lines:
        value = parse_line(line)
        parsed += (isinstance(value, Malformed) and _cut_at_returns(line)) or [value]
    return parsed


def _cut_at_returns(line: Line) -> list[Any]:
    """Parse the lines of a file that ends them with CR alone; empty where that makes no record.

    JSON has no CR but between values, so a line with one inside that cannot be read as a whole may
    be several: all of the file, as the first Macs wrote it.
    """
    pieces = line.rstrip(b"\r").split(b"\r")
    if len(pieces) < 2:
        return []
    parsed = [parse_line(piece) for piece in pieces]
    return parsed if any(isinstance(value, dict) for value in parsed) else []


def parse_line(line: Line) -> Any:
    """Parse one JSON value; a line without one gives `Malformed`, a blank line `Empty`."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        shortened = without_deep_levels(line)
        if shortened is not None:
            return _partly_read(shortened)
        return _diagnose(line, error)


def _partly_read(shortened: bytes) -> Any:
    try:
        record = orjson.loads(shortened)
    except orjson.JSONDecodeError as error:
        return _diagnose(shortened, error)
    loss = f"nested more than {MOST_LEVELS} levels, what lies deeper is left out"
    return PartlyRead(record, loss) if isinstance(record, dict) else record


def _diagnose(line: Line, error: orjson.JSONDecodeError) -> Malformed | Empty:
    if not line.strip():
        return Empty("a blank line")
    detail = f"not JSON: {error.msg} (column {error.colno})"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as unicode_error:
        detail = f"not UTF-8 at byte {unicode_error.start + 1} of the line"
    fields = _loose_fields(line)
    return Malformed(detail) if fields is None else Damaged(detail, fields)


def _loose_fields(line: Line) -> dict[str, Any] | None:
    """Read what Python takes for JSON: NaN, numbers of any size, texts that are not Unicode."""
    try:
        value = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


JSONL = Reader(name="jsonl", endings=("jsonl", "ndjson"), read=read_jsonl, splittable=True)
