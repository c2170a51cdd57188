"""The documents table: one row for every input record, whatever became of it.

This is the one place where its columns are defined. What `mixscale build` writes, the view
`documents` and its comments follow; a column that is computed from a record alone has its function
here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

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

UNFINISHED_DOCUMENTS = ".build/documents"
"""Where, in the folder of a build that refused its input, the records are as Parquet files."""


class TextRecord(NamedTuple):
    """A record with a text: what a column may be computed from."""

    text: str
    """After `window`."""
    utf8: bytes
    """The same text."""
    fields: Mapping[str, Any]
    """The whole record, as it was read."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the documents table."""

    name: str
    type: pa.DataType
    """Of the Parquet files."""
    meaning: str
    """With its unit, for people."""
    nullable: bool = True
    of_record: Callable[[TextRecord], Any] | None = None
    """Computes the value of a record with a text. Without it a stage of the build gives the value
    (`ingest/stages/write_documents.py`), because it depends on settings or on other records."""
    without_text: Any = None
    """The value where there is no text, of a column that has `of_record`."""


COLUMNS = (
    Column(
        name="domain",
        type=pa.string(),
        meaning="domain the record was read for",
        nullable=False,
    ),
    Column(
        name="split",
        type=pa.string(),
        meaning="train or validation; null when not kept",
    ),
    Column(
        name="source_file",
        type=pa.string(),
        meaning="input file, as the build named it",
        nullable=False,
    ),
    Column(
        name="source_row",
        type=pa.uint64(),
        meaning="record number in the input file, from 1",
        nullable=False,
    ),
    Column(
        name="doc_id",
        type=pa.string(),
        meaning="128-bit hash of the text, hexadecimal; null when there is no text",
    ),
    Column(
        name="chars",
        type=pa.uint64(),
        meaning="Unicode code points of the text",
        nullable=False,
        of_record=lambda record: len(record.text),
        without_text=0,
    ),
    Column(
        name="bytes",
        type=pa.uint64(),
        meaning="UTF-8 bytes of the text",
        nullable=False,
        of_record=lambda record: len(record.utf8),
        without_text=0,
    ),
    Column(
        name="tokens",
        type=pa.uint64(),
        meaning="tokens, those that the text begins and ends with included; 0 when not kept",
        nullable=False,
    ),
    Column(
        name="status",
        type=pa.string(),
        meaning="what became of the record: " + ", ".join(STATUSES),
        nullable=False,
    ),
    Column(
        name="detail",
        type=pa.string(),
        meaning="why; of a duplicate, file and row of the record that stays; null when there is"
        " nothing to say",
    ),
    Column(
        name="first_sample",
        type=pa.uint64(),
        meaning="sample of its stream in which the document starts, from 0; null when not kept;"
        " the number of samples when it starts in the remainder",
    ),
    Column(
        name="first_offset",
        type=pa.uint32(),
        meaning="token of that sample at which it starts, from 0; null when not kept",
    ),
    Column(
        name="meta",
        type=pa.string(),
        meaning="the record's other fields, JSON",
    ),
)
"""All columns, in their order."""

RECORD_COLUMNS = tuple(column for column in COLUMNS if column.of_record is not None)
"""Those that are computed from a record alone."""

DOCUMENT_COLUMNS = {column.name: column.meaning for column in COLUMNS}

DOCUMENTS = pa.schema(
    [pa.field(column.name, column.type, nullable=column.nullable) for column in COLUMNS]
)
"""`documents/<domain>/*.parquet`: one row for every input record, kept or not."""
