"""The tables and views of a shard set's index: every line of SQL text lives beside this module."""

from __future__ import annotations

import pyarrow as pa

VERSION = 1
"""Changes when a column or a view does; an index of another version is rebuilt."""

STATUSES = {
    "kept": "in the shards of its domain and split",
    "duplicate": "the same text as another record; `detail` is where that one is",
    "near_duplicate": "nearly the same text as another record; `detail` is where that one is",
    "too_short": "fewer characters than the domain's minimum",
    "filtered": "a filter of the corpus config left it out; `detail` is the filter",
    "empty": "no text, or a text of zero characters",
    "malformed": "could not be read as a record; `detail` says why",
}
"""What became of an input record."""

DOCUMENTS = pa.schema(
    [
        pa.field("domain", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_row", pa.uint64(), nullable=False),
        pa.field("doc_id", pa.string()),
        pa.field("chars", pa.uint64(), nullable=False),
        pa.field("bytes", pa.uint64(), nullable=False),
        pa.field("tokens", pa.uint64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("first_sample", pa.uint64()),
        pa.field("first_offset", pa.uint32()),
        pa.field("meta", pa.string()),
    ]
)
"""One row for every input record, in `documents/<domain>/*.parquet`; see `DOCUMENT_UNITS`."""
