"""The first records of a file, read by the reader of its format and no further than needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mixscale.contracts.errors import UserError
from mixscale.ingest.readers.decompress import read_chunks
from mixscale.ingest.readers.find_files import format_by_name
from mixscale.ingest.readers.malformed import Malformed
from mixscale.ingest.readers.records import record_blocks
from mixscale.ingest.readers.source_file import SourceFile, Unit, local_version


@dataclass
class _Progress:
    """How far a file was read in pieces; nothing of one whose reader goes to and fro."""

    raw_bytes: int = 0
    """Before decompression."""
    plain_bytes: int = 0
    """After it."""
    given_bytes: int = 0
    """Those of them that the reader got."""
    is_cut: bool = False

    @property
    def part(self) -> float:
        """The raw bytes that the reader got, about."""
        return self.raw_bytes * self.given_bytes / max(1, self.plain_bytes)


@dataclass(frozen=True, kw_only=True)
class _Beginning(SourceFile):
    """A file that seems to end after so many bytes of plain text."""

    most_bytes: int
    progress: _Progress = field(default_factory=_Progress)

    def chunks(self) -> Iterator[bytes]:
        progress = self.progress
        with self.open() as stream:
            counting: Any = _Counting(stream, progress)
            for chunk in read_chunks(counting, self.compression):
                progress.plain_bytes += len(chunk)
                left = self.most_bytes - progress.given_bytes
                if len(chunk) > left:
                    progress.is_cut = True
                    chunk = _whole_lines(chunk[:left])
                progress.given_bytes += len(chunk)
                yield chunk
                if progress.is_cut:
                    return


class _Counting:
    """A stream of which is known how much was read."""

    def __init__(self, stream: IO[bytes], progress: _Progress) -> None:
        self._stream = stream
        self._progress = progress

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._progress.raw_bytes += len(data)
        return data


def _whole_lines(data: bytes) -> bytes:
    """Cut behind the last line, or at least not within a character."""
    end = data.rfind(b"\n") + 1
    if end:
        return data[:end]
    return data.decode("utf-8", "ignore").encode() if _is_utf8_cut(data) else data


def _is_utf8_cut(data: bytes) -> bool:
    """Whether nothing but the cut keeps data from being UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.end >= len(data) - 3 and error.reason == "unexpected end of data"
    return False


@dataclass(frozen=True, kw_only=True)
class FirstRecords:
    """The first records of a file."""

    records: list[Any]
    """Dicts of fields; `Malformed` or `Empty` where there is none."""
    factor: float
    """How many times as much the whole file holds, estimated; 1 when all of it was read."""
    error: str | None = None
    """Why the file cannot be read."""


def first_records(path: Path, format_name: str, most_bytes: int) -> FirstRecords:
    """Read the first records of a local file, by the reader that a build uses.

    Args:
        path: The file.
        format_name: A name of `ingest/readers/registry.py`.
        most_bytes: About so many bytes of plain text are read, and no more.
    """
    progress = _Progress()
    try:
        status = os.stat(path)
        file = _Beginning(
            address=str(path),
            name=path.name,
            format=format_name,
            compression=format_by_name(path.name)[1],
            size=status.st_size,
            version=local_version(status),
            domain="",
            most_bytes=most_bytes,
            progress=progress,
        )
        records, is_whole = _take(Unit(file=file, start=0, end=None), most_bytes, progress)
    except (UserError, OSError) as error:
        reason = str(error).partition(": cannot read: ")[2].partition(";")[0] or str(error)
        return FirstRecords(records=[], factor=1.0, error=reason)
    if progress.is_cut and records and isinstance(records[-1], Malformed):
        # The end that we made is no fault of the file.
        records.pop()
    if is_whole and not progress.is_cut:
        return FirstRecords(records=records, factor=1.0)
    factor = _factor(path, format_name, status.st_size, progress, records)
    return FirstRecords(records=records, factor=factor)


def _take(unit: Unit, most_bytes: int, progress: _Progress) -> tuple[list[Any], bool]:
    """Return records, and whether these are all."""
    records: list[Any] = []
    size = 0
    for block in record_blocks(unit):
        records += block
        if progress.raw_bytes:
            continue
        # A reader of columns does not read in pieces: it is stopped by what it gives.
        size += sum(map(_weight, block))
        if size > most_bytes:
            return records, False
    return records, True


def _weight(record: Any) -> int:
    """Count the characters of a record, about."""
    if not isinstance(record, dict):
        return 0
    return sum(len(value) if isinstance(value, str | bytes) else 8 for value in record.values())


def _factor(
    path: Path, format_name: str, size: int, progress: _Progress, records: list[Any]
) -> float:
    rows = _parquet_rows(path) if format_name == "parquet" else None
    if rows is not None and records:
        return max(1.0, rows / len(records))
    if progress.raw_bytes:
        return max(1.0, size / max(1.0, progress.part))
    return max(1.0, size / max(1, sum(map(_weight, records))))


def _parquet_rows(path: Path) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError):
        return None
