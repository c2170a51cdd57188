"""The documents table: one row for every input record, whatever became of it."""

from __future__ import annotations

import pyarrow as pa

STATUSES = {
    "kept": "in the shards of its domain and split",
    "duplicate": "the same text as an earlier record, or one of a better domain",
    "near_duplicate": "nearly the same text as an earlier record, or one of a better domain",
    "too_short": "fewer characters than the domain's minimum",
    "filtered": "left out by a filter of the corpus config",
    "empty": "no text, or a text without characters",
    "malformed": "could not be read as a record",
}
"""What became of an input record; its `detail` says more."""
REJECTED = tuple(s for s in STATUSES if s not in ("kept", "duplicate", "near_duplicate"))
"""Statuses of records that were left out for what they are."""

DOCUMENT_COLUMNS = {
    "domain": "domain the record was read for",
    "split": "train or validation; null when not kept",
    "source_file": "input file, as the build named it",
    "source_row": "record number in the input file, from 1",
    "doc_id": "128-bit hash of the text, hexadecimal; null when there is no text",
    "chars": "Unicode code points of the text",
    "bytes": "UTF-8 bytes of the text",
    "tokens": "tokens with the end-of-text token; 0 when not kept",
    "status": "what became of the record: " + ", ".join(STATUSES),
    "detail": "why; of a duplicate, file and row of the record that stays; null when there is"
    " nothing to say",
    "first_sample": "sample of its stream in which the document starts, from 0; null when not kept;"
    " the number of samples when it starts in the remainder",
    "first_offset": "token of that sample at which it starts, from 0; null when not kept",
    "meta": "the record's other fields, JSON",
}

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
"""`documents/<domain>/*.parquet`: one row for every input record, kept or not."""
