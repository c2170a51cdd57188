"""Records in columns: Parquet and Arrow files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

from mixscale.ingest.readers.decompress import read_chunks
from mixscale.ingest.readers.faults import BrokenStream, Fault
from mixscale.ingest.readers.sources import SourceFile

_BLOCK_ROWS = 512


def parquet_blocks(file: SourceFile) -> Iterator[list[Any]]:
    """Yield the rows of a Parquet file."""
    import pyarrow.parquet as pq

    with _seekable(file) as stream:
        try:
            # Without read-ahead, because a row group of long documents is large.
            parquet = pq.ParquetFile(stream, pre_buffer=False)
            for batch in parquet.iter_batches(_BLOCK_ROWS, use_threads=False):
                yield _rows(batch)
        except (pa.ArrowException, OSError) as error:
            raise _broken("Parquet", error) from error


def arrow_blocks(file: SourceFile) -> Iterator[list[Any]]:
    """Yield the rows of an Arrow file: Feather, the file format or the stream format."""
    with _seekable(file) as stream:
        try:
            for batch in _arrow_batches(stream):
                for start in range(0, batch.num_rows, _BLOCK_ROWS):
                    yield _rows(batch.slice(start, _BLOCK_ROWS))
        except (pa.ArrowException, OSError) as error:
            raise _broken("Arrow", error) from error


def _broken(name: str, error: Exception) -> Exception:
    """Tell damaged bytes from a file that cannot be read, which has a number from the system."""
    if getattr(error, "errno", None) is not None:
        return error
    return BrokenStream(f"not readable as {name}: {_first_line(error)}")


def _arrow_batches(stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:
        # Hugging Face datasets keep their `.arrow` files in the stream format.
        stream.seek(0)
        yield from pa.ipc.open_stream(stream)
        return
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _seekable(file: SourceFile) -> IO[bytes]:
    if file.compression is None:
        return file.open()
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    with file.open() as stream:
        for chunk in read_chunks(stream, file.compression):
            copy.write(chunk)
    copy.seek(0)
    return copy


def _rows(batch: pa.RecordBatch) -> list[Any]:
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
            return Fault("not UTF-8 in a field")
        return Fault(f"a value that cannot be read: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
