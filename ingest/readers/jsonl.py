"""JSON Lines: one record a line, every line accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from mixscale.ingest.readers.faults import BrokenStream, Fault

Line = bytes | bytearray
_BOM = b"\xef\xbb\xbf"
_BLANK = Fault("")
"""A line of white space; it is no damage, but it is a line."""


def is_blank(record: object) -> bool:
    """Tell a blank line from a record that cannot be read."""
    return record is _BLANK


def line_blocks(chunks: Iterator[bytes]) -> Iterator[list[Line] | Fault]:
    """Cut chunks into lines at LF alone; what a broken stream leaves over comes as one fault.

    A line comes in one piece however many chunks it spans.
    """
    cutter = _Cutter()
    try:
        for chunk in chunks:
            if cutter.add(chunk):
                yield cutter.take()
    except BrokenStream as error:
        yield Fault(error.detail)
        return
    if cutter.end():
        yield cutter.take()


class _Cutter:
    """Gathers lines; holds on to none that was taken, because one may be as large as memory."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._waiting = bytearray()
        self._is_first = True

    def add(self, chunk: bytes) -> bool:
        """Take in the next bytes; tells whether there are lines now."""
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._waiting += chunk
            return False
        self._lines = list[Line](head.split(b"\n"))
        self._waiting += self._lines[0]
        self._lines[0] = self._waiting
        self._waiting = bytearray(tail)
        return True

    def end(self) -> bool:
        """Take what is left for a line; tells whether there is something."""
        self._lines = [self._waiting]
        return bool(self._waiting)

    def take(self) -> list[Line]:
        """Give the lines away."""
        lines, self._lines = self._lines, []
        if self._is_first:
            lines[0] = lines[0].removeprefix(_BOM)
            self._is_first = False
        return lines


def parse_lines(lines: Sequence[Line]) -> list[Any]:
    """Parse each line into its JSON value, or a `Fault` that says why it has none."""
    return [parse_line(line) for line in lines]


def parse_line(line: Line) -> Any:
    """Parse one JSON value."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _diagnose(line, error)


def _diagnose(line: Line, error: orjson.JSONDecodeError) -> Fault:
    if not line.strip():
        return _BLANK
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as unicode_error:
        return Fault(f"not UTF-8 at byte {unicode_error.start + 1} of the line")
    return Fault(f"not JSON: {error.msg} (column {error.colno})")
