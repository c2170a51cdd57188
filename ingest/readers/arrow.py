"""Arrow files (Feather, the file format, the stream format): one record a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.columnar import (
    batch_blocks,
    first_line,
    not_readable,
    seekable,
    wanted_columns,
)
from mixscale.ingest.readers.malformed import Malformed
from mixscale.ingest.readers.source_file import Unit


def read_arrow(unit: Unit) -> Blocks:
    """Yield the rows of an Arrow file; a damaged batch of the file format is one `Malformed`.

    Raises:
        DamagedFile: It is none, or a stream that is damaged.
    """
    with seekable(unit.file) as stream:
        try:
            for batch in _batches(stream):
                if isinstance(batch, Malformed):
                    yield [batch]
                    continue
                columns = wanted_columns(batch.schema.names, unit.file.fields)
                yield from batch_blocks(batch if columns is None else batch.select(columns))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            # Python decodes the names of the columns as they are asked for.
            raise not_readable("Arrow", error) from error


def _batches(stream: IO[bytes]) -> Iterator[pa.RecordBatch | Malformed]:
    try:
        reader = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:
        # Hugging Face datasets keep their `.arrow` files in the stream format.
        stream.seek(0)
        yield from pa.ipc.open_stream(stream)
        return
    for number in range(reader.num_record_batches):
        try:
            batch = reader.get_batch(number)
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            reason = f"not readable as Arrow: {first_line(error)}"
            yield Malformed(f"batch {number + 1} of the file: {reason}; its records are lost")
        else:
            yield batch


ARROW = Reader(name="arrow", endings=("arrow", "feather", "ipc"), read=read_arrow)
