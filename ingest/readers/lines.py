"""Bytes cut into lines, in one piece or in ranges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from mixscale.ingest.readers.malformed import DamagedFile, Malformed
from mixscale.ingest.readers.source_file import Unit

Line = bytes | bytearray
_BOM = b"\xef\xbb\xbf"
_READ_BYTES = 1 << 20


def unit_chunks(unit: Unit) -> Iterator[bytes]:
    """Yield the bytes of the lines that start in a unit, the last one to its end.

    Raises:
        DamagedFile: The compressed data is damaged or ends early.
    """
    if unit.end is None:
        yield from unit.file.chunks()
        return
    with unit.file.open() as stream:
        place = _first_line_start(stream, unit.start)
        ends_line = True
        while place < unit.end:
            chunk = stream.read(min(_READ_BYTES, unit.end - place))
            if not chunk:
                return
            place += len(chunk)
            yield chunk
            ends_line = chunk.endswith(b"\n")
        if not ends_line:
            yield from _rest_of_line(stream)


def _first_line_start(stream: IO[bytes], start: int) -> int:
    """Move to the first line that starts at or after `start`."""
    if start == 0:
        return 0
    # A line starts at `start` exactly when the byte before it ends one.
    place = stream.seek(start - 1)
    while chunk := stream.read(_READ_BYTES):
        newline = chunk.find(b"\n")
        if newline >= 0:
            return stream.seek(place + newline + 1)
        place += len(chunk)
    return place


def _rest_of_line(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_READ_BYTES):
        head, newline, _ = chunk.partition(b"\n")
        yield head + newline
        if newline:
            return


def line_blocks(chunks: Iterator[bytes]) -> Iterator[list[Line] | Malformed]:
    """Cut chunks into lines at LF alone; where the file is damaged, one `Malformed` ends them.

    A line comes in one piece however many chunks it spans.
    """
    cutter = _Cutter()
    try:
        for chunk in chunks:
            if cutter.add(chunk):
                yield cutter.take()
    except DamagedFile as error:
        yield Malformed(error.detail)
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
        """Take in the next bytes; returns whether there are lines now."""
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
        """Take what is left for a line; returns whether there is something."""
        self._lines = [self._waiting]
        return bool(self._waiting)

    def take(self) -> list[Line]:
        """Give the lines away."""
        lines, self._lines = self._lines, []
        if self._is_first:
            lines[0] = lines[0].removeprefix(_BOM)
            self._is_first = False
        return lines
