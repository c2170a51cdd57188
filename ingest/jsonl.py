"""JSON Lines: one record a line, every line accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from ingest.faults import BrokenStream, Fault

_BOM = b"\xef\xbb\xbf"
_BLANK = Fault("")
"""A line of white space; it is no damage, but it is a line."""


def is_blank(record: object) -> bool:
    """Tell a blank line from a record that cannot be read."""
    return record is _BLANK


def line_blocks(chunks: Iterator[bytes]) -> Iterator[list[bytes] | Fault]:
    """Cut chunks into lines at LF alone; what a broken stream leaves over comes as one fault.

    A line comes in one piece however many chunks it spans.
    """
    parts: list[bytes] = []
    first = True
    try:
        for chunk in chunks:
            head, newline, tail = chunk.rpartition(b"\n")
            if not newline:
                parts.append(chunk)
                continue
            lines = b"".join([*parts, head]).split(b"\n")
            parts = [tail] if tail else []
            yield _without_bom(lines) if first else lines
            first = False
    except BrokenStream as error:
        yield Fault(error.detail)
        return
    if parts:
        lines = [b"".join(parts)]
        yield _without_bom(lines) if first else lines


def parse_lines(lines: Sequence[bytes]) -> list[Any]:
    """Parse each line into its JSON value, or a `Fault` that says why it has none."""
    return [parse_line(line) for line in lines]


def _without_bom(lines: list[bytes]) -> list[bytes]:
    return [lines[0].removeprefix(_BOM), *lines[1:]]


def parse_line(line: bytes) -> Any:
    """Parse one JSON value."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _diagnose(line, error)


def _diagnose(line: bytes, error: orjson.JSONDecodeError) -> Fault:
    if not line.strip():
        return _BLANK
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as unicode_error:
        return Fault(f"not UTF-8 at byte {unicode_error.start + 1} of the line")
    return Fault(f"not JSON: {error.msg} (column {error.colno})")
