"""Records held in columns, as the readers of Parquet and Arrow files meet them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa

from mixscale.ingest.readers.column_values import column_values
from mixscale.ingest.readers.decompress import compression_of
from mixscale.ingest.readers.malformed import DamagedFile
from mixscale.ingest.readers.source_file import SourceFile

BLOCK_ROWS = 512
_START_BYTES = 16
BLOCK_BYTES = 1 << 22
"""Records are handed on so many bytes at a time, all fields counted."""


def seekable(file: SourceFile) -> IO[bytes]:
    """Open a file so that it can be read in any order; of a compressed one, a plain copy.

    Raises:
        DamagedFile: The compressed data is damaged or ends early.
    """
    if file.compression is None:
        stream = file.open()
        if compression_of(stream.read(_START_BYTES), None) is None:
            stream.seek(0)
            return stream
        stream.close()
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    for chunk in file.chunks():
        copy.write(chunk)
    copy.seek(0)
    return copy


def rows_at_once(bytes_per_row: float) -> int:
    """Choose how many rows of this size are held in memory together."""
    return max(1, min(BLOCK_ROWS, int(BLOCK_BYTES / max(bytes_per_row, 1))))


def wanted_columns(names: Sequence[str], fields: Sequence[str] | None) -> list[str] | None:
    """Choose the columns to read.

    Args:
        names: The columns that there are.
        fields: The fields that the domain asks for, that of the text first, or nothing for all.

    Returns:
        Nothing for all of them, also when there is no text: the message then names what there is.
    """
    if fields is None or fields[0] not in names:
        return None
    return [name for name in dict.fromkeys(fields) if name in names]


def batch_blocks(batch: pa.RecordBatch) -> Iterator[list[Any]]:
    """Turn the rows of a batch into records, some at a time; a damaged value spoils no other."""
    if batch.num_rows == 0:
        return
    # A slice of a column that is too short would end the process.
    if any(len(column) != batch.num_rows for column in batch.columns):
        raise DamagedFile("not readable: the columns of a batch differ in length")
    count = rows_at_once(batch.nbytes / batch.num_rows)
    for start in range(0, batch.num_rows, count):
        yield _records(batch.slice(start, count))


def _records(batch: pa.RecordBatch) -> list[Any]:
    names = batch.schema.names
    if not names:
        return [{} for _ in range(batch.num_rows)]
    columns = [column_values(column) for column in batch.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def not_readable(format_name: str, error: Exception) -> Exception:
    """Choose the error to raise: `DamagedFile`, or the system's own for a file it cannot read."""
    if getattr(error, "errno", None) is not None:
        return error
    return DamagedFile(f"not readable as {format_name}: {first_line(error)}")


def first_line(error: Exception) -> str:
    """Shorten what a library says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
