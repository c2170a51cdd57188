"""Parquet files: one record a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.columnar import (
    batch_blocks,
    first_line,
    not_readable,
    rows_at_once,
    seekable,
    wanted_columns,
)
from mixscale.ingest.readers.malformed import Malformed, Unreadable
from mixscale.ingest.readers.source_file import Unit

_FIRST_ROWS = 16
"""So many rows tell how large one is; the sizes in the file are those of dictionaries."""


def read_parquet(unit: Unit) -> Blocks:
    """Yield the rows of a Parquet file; what is damaged costs its own rows and columns alone.

    Raises:
        DamagedFile: It is none, or damaged as a whole.
    """
    import pyarrow.parquet as pq

    with seekable(unit.file) as stream:
        try:
            # Without read-ahead, because a row group of long documents is large.
            parquet = pq.ParquetFile(stream, pre_buffer=False)
            names = _all_names(parquet.schema_arrow)
            columns = wanted_columns(names, unit.file.fields)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise not_readable("Parquet", error) from error
        for group in range(parquet.num_row_groups):
            yield from _RowGroup(parquet, group, columns).blocks()


def _all_names(fields: Any) -> list[str]:
    """Decode the names of the columns, and those within them, which raises for damaged ones."""
    names = [field.name for field in fields]
    for field in fields:
        _all_names([field.type.field(number) for number in range(field.type.num_fields)])
    return names


class _RowGroup:
    """One row group of a file."""

    def __init__(self, parquet: Any, number: int, columns: Sequence[str] | None) -> None:
        self._parquet = parquet
        self._number = number
        self._columns = columns
        self._rows = parquet.metadata.row_group(number).num_rows

    def blocks(self) -> Blocks:
        """Yield the rows; at damage, those of the columns that can be read without the others."""
        done = 0
        try:
            for batch in self._batches(self._columns):
                for records in batch_blocks(batch):
                    yield records
                    done += len(records)
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            yield from self._rest(done, first_line(error))

    def _batches(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        size = _FIRST_ROWS
        if self._rows > _FIRST_ROWS:
            first = next(self._read(_FIRST_ROWS, columns), None)
            if first is not None and first.num_rows:
                size = rows_at_once(first.nbytes / first.num_rows)
        return self._read(size, columns)

    def _read(self, size: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        return self._parquet.iter_batches(
            size, row_groups=[self._number], columns=columns, use_threads=False
        )

    def _rest(self, done: int, reason: str) -> Blocks:
        """Yield the rows that are left."""
        names = self._parquet.schema_arrow.names if self._columns is None else self._columns
        readable = [name for name in names if self._can_read(name)]
        if not readable:
            yield [self._lost(reason, self._rows - done)]
            return
        lost = {
            name: Unreadable(f"not readable as Parquet: {reason}")
            for name in names
            if name not in readable
        }
        left = self._rows - done
        try:
            for batch in self._batches(readable):
                skipped = min(done, batch.num_rows)
                done -= skipped
                for records in batch_blocks(batch.slice(skipped)):
                    yield [{**record, **lost} for record in records]
                    left -= len(records)
        except (pa.ArrowException, OSError) as error:
            # Each column can be read, but not together: they differ in length.
            if getattr(error, "errno", None) is not None:
                raise
            yield [self._lost(first_line(error), left)]

    def _lost(self, reason: str, records: int) -> Malformed:
        return Malformed(
            f"row group {self._number + 1} of the file: not readable as Parquet: {reason}; "
            f"its {records} records are lost"
        )

    def _can_read(self, name: str) -> bool:
        try:
            for _ in self._batches([name]):
                pass
        except (pa.ArrowException, OSError):
            return False
        return True


PARQUET = Reader(name="parquet", endings=("parquet",), read=read_parquet)
