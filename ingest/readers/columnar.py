"""Records held in columns, as the readers of Parquet and Arrow files meet them."""

from __future__ import annotations

import tempfile
from typing import IO, Any

import pyarrow as pa

from mixscale.ingest.readers.malformed import DamagedFile, Malformed
from mixscale.ingest.readers.source_file import SourceFile

BLOCK_ROWS = 512


def seekable(file: SourceFile) -> IO[bytes]:
    """Open a file so that it can be read in any order; of a compressed one, a plain copy.

    Raises:
        DamagedFile: The compressed data is damaged or ends early.
    """
    if file.compression is None:
        return file.open()
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    for chunk in file.chunks():
        copy.write(chunk)
    copy.seek(0)
    return copy


def batch_records(batch: pa.RecordBatch) -> list[Any]:
    """Turn the rows of a batch into records; a damaged row spoils no other."""
    try:
        # Damaged offsets would lead the conversion out of the memory of the batch.
        batch.validate(full=True)
        return batch.to_pylist()
    except (ValueError, OverflowError):
        return [_row(batch.slice(row, 1)) for row in range(batch.num_rows)]


def _row(batch: pa.RecordBatch) -> Any:
    try:
        batch.validate(full=True)
        return batch.to_pylist()[0]
    except (ValueError, OverflowError) as error:
        if "Invalid UTF8" in str(error):
            return Malformed("not UTF-8 in a field")
        return Malformed(f"a value that cannot be read: {_first_line(error)}")


def not_readable(format_name: str, error: Exception) -> Exception:
    """Choose the error to raise: `DamagedFile`, or the system's own for a file it cannot read."""
    if getattr(error, "errno", None) is not None:
        return error
    return DamagedFile(f"not readable as {format_name}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
