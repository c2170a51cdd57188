"""Arrow files (Feather, the file format, the stream format): one record a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.columnar import BLOCK_ROWS, batch_records, not_readable, seekable
from mixscale.ingest.readers.source_file import Unit


def read_arrow(unit: Unit) -> Blocks:
    """Yield the rows of an Arrow file.

    Raises:
        DamagedFile: It is none, or damaged.
    """
    with seekable(unit.file) as stream:
        try:
            for batch in _batches(stream):
                for start in range(0, batch.num_rows, BLOCK_ROWS):
                    yield batch_records(batch.slice(start, BLOCK_ROWS))
        except (pa.ArrowException, OSError) as error:
            raise not_readable("Arrow", error) from error


def _batches(stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:
        # Hugging Face datasets keep their `.arrow` files in the stream format.
        stream.seek(0)
        yield from pa.ipc.open_stream(stream)
        return
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


ARROW = Reader(name="arrow", endings=("arrow", "feather", "ipc"), read=read_arrow)
