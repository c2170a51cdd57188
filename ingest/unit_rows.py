"""What is known about the records of one bundle before all bundles are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixscale.shards.sql.documents import RECORD_COLUMNS, STATUSES, TextRecord

STATUS = tuple(STATUSES)
"""The status of a row is its place here, until the documents are written."""
KEPT = STATUS.index("kept")
DUPLICATE = STATUS.index("duplicate")
NEAR_DUPLICATE = STATUS.index("near_duplicate")
TOO_SHORT = STATUS.index("too_short")
FILTERED = STATUS.index("filtered")
MALFORMED = STATUS.index("malformed")
HAS_TEXT = (KEPT, DUPLICATE)
"""What a row with a comparable text has before near duplicates are looked for."""
UNROUTED_RANK = -1
"""Number of the domain of records that belong to none."""

_IDENTITY = [
    pa.field("domain", pa.int16()),
    pa.field("high", pa.uint64()),
    pa.field("low", pa.uint64()),
]
_OTHERS = [
    pa.field("tokens", pa.uint64()),
    pa.field("status", pa.uint8()),
    pa.field("detail", pa.string()),
    pa.field("meta", pa.string()),
]
ROWS = pa.schema(
    [*_IDENTITY, *(pa.field(column.name, column.type) for column in RECORD_COLUMNS), *_OTHERS]
)
"""One row for every record; `high` and `low` are the halves of the text's hash."""
_COMPUTE = tuple(column.of_record for column in RECORD_COLUMNS if column.of_record)
_WITHOUT_TEXT = tuple(column.without_text for column in RECORD_COLUMNS)
_SLICE_ROWS = 1 << 15
_SLICE_BYTES = 1 << 26


class Row(NamedTuple):
    """What is known about one record."""

    domain: int
    status: int
    detail: str | None = None
    meta: bytes | None = None
    digest: bytes = bytes(16)
    computed: tuple[Any, ...] = _WITHOUT_TEXT
    """The values of `RECORD_COLUMNS`."""


def compute_columns(record: TextRecord) -> tuple[Any, ...]:
    """Compute the values of `RECORD_COLUMNS`."""
    return tuple([compute(record) for compute in _COMPUTE])


def record_batch(rows: Sequence[Row], kept_tokens: NDArray[np.int64]) -> pa.RecordBatch:
    """Lay rows out in columns.

    Args:
        rows: Any number.
        kept_tokens: (rows with the status kept,) tokens of their texts.
    """
    if not rows:
        return pa.RecordBatch.from_pylist([], schema=ROWS)
    domain, status, detail, meta, digest, computed = zip(*rows, strict=True)
    halves = np.frombuffer(b"".join(digest), ">u8").astype(np.uint64).reshape(-1, 2)
    statuses = np.asarray(status, np.uint8)
    tokens = np.zeros(len(statuses), np.uint64)
    tokens[statuses == KEPT] = kept_tokens
    columns = {
        "domain": domain,
        "high": halves[:, 0],
        "low": halves[:, 1],
        "tokens": tokens,
        "status": statuses,
        "detail": detail,
        "meta": meta,
        **dict(zip((c.name for c in RECORD_COLUMNS), zip(*computed, strict=True), strict=True)),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in ROWS]
    return pa.record_batch(arrays, schema=ROWS)


def read_rows(path: Path) -> pa.Table:
    """Map the rows of a bundle into memory."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def row_slices(rows: pa.Table) -> Iterator[tuple[int, int]]:
    """Cut rows into pieces of bounded size, yielding the first row and the number of each."""
    start = count = size = 0
    for batch in rows.to_batches():
        if count and (count + batch.num_rows > _SLICE_ROWS or size + batch.nbytes > _SLICE_BYTES):
            yield start, count
            start, count, size = start + count, 0, 0
        count, size = count + batch.num_rows, size + batch.nbytes
    if count:
        yield start, count
