"""The records of a unit, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.ingest.readers.columnar import arrow_blocks, parquet_blocks
from mixscale.ingest.readers.decompress import read_chunks
from mixscale.ingest.readers.faults import BrokenStream, Fault
from mixscale.ingest.readers.json_array import json_blocks
from mixscale.ingest.readers.jsonl import Line, line_blocks, parse_lines
from mixscale.ingest.readers.sources import SourceFile, Unit

Blocks = Iterator[list[Any]]
"""Lists of records in the order of the file; a `Fault` stands for one that cannot be read."""

_READ_BYTES = 1 << 20


def record_blocks(unit: Unit) -> Blocks:
    """Yield the records of a unit in blocks of moderate size.

    Raises:
        UserError: The file cannot be read now. That says nothing about its records, so they must
            not be counted as damaged.
    """
    try:
        yield from READERS[unit.file.format](unit)
    except BrokenStream as error:
        yield [Fault(error.detail)]
    except Exception as error:
        if not (unit.file.is_remote or isinstance(error, OSError)):
            raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(
            f"{unit.file.address}: cannot read: {reason}; "
            "once it can be read, the same command goes on where it stopped"
        ) from error


def _read_jsonl(unit: Unit) -> Blocks:
    chunks = _file_chunks(unit.file) if unit.end is None else _range_chunks(unit)
    # Not a loop, whose variable would keep the lines alive beside the records.
    yield from map(_parsed, line_blocks(chunks))


def _parsed(lines: list[Line] | Fault) -> list[Any]:
    return [lines] if isinstance(lines, Fault) else parse_lines(lines)


def _file_chunks(file: SourceFile) -> Iterator[bytes]:
    with file.open() as stream:
        yield from read_chunks(stream, file.compression)


def _range_chunks(unit: Unit) -> Iterator[bytes]:
    """Yield the lines that start in the unit's range, the last one to its end."""
    assert unit.end is not None
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


def _first_line_start(stream: Any, start: int) -> int:
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


def _rest_of_line(stream: Any) -> Iterator[bytes]:
    while chunk := stream.read(_READ_BYTES):
        head, newline, _ = chunk.partition(b"\n")
        yield head + newline
        if newline:
            return


def _read_text(unit: Unit) -> Blocks:
    """Read a whole file as one document."""
    yield [_whole_text(_file_chunks(unit.file))]


def _whole_text(chunks: Iterator[bytes]) -> Any:
    data = bytearray()
    for chunk in chunks:
        data += chunk
    try:
        return {"text": data.decode("utf-8-sig")}
    except UnicodeDecodeError as error:
        return Fault(f"not UTF-8 at byte {error.start + 1}")


def _read_json(unit: Unit) -> Blocks:
    yield from json_blocks(_file_chunks(unit.file))


READERS: dict[str, Callable[[Unit], Blocks]] = {
    "jsonl": _read_jsonl,
    "json": _read_json,
    "parquet": lambda unit: parquet_blocks(unit.file),
    "arrow": lambda unit: arrow_blocks(unit.file),
    "text": _read_text,
}
"""By the format of the file."""
