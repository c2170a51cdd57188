"""Parquet files: one record a row."""

from __future__ import annotations

import pyarrow as pa

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.columnar import BLOCK_ROWS, batch_records, not_readable, seekable
from mixscale.ingest.readers.source_file import Unit


def read_parquet(unit: Unit) -> Blocks:
    """Yield the rows of a Parquet file.

    Raises:
        DamagedFile: It is none, or damaged.
    """
    import pyarrow.parquet as pq

    with seekable(unit.file) as stream:
        try:
            # Without read-ahead, because a row group of long documents is large.
            parquet = pq.ParquetFile(stream, pre_buffer=False)
            for batch in parquet.iter_batches(BLOCK_ROWS, use_threads=False):
                yield batch_records(batch)
        except (pa.ArrowException, OSError) as error:
            raise not_readable("Parquet", error) from error


PARQUET = Reader(name="parquet", endings=("parquet",), read=read_parquet)
