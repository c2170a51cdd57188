"""Which documents a sample holds, and which samples a document lies in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import duckdb


class DocumentInSample(NamedTuple):
    """A document, or a part of one, inside a sample."""

    doc_id: str
    source_file: str
    source_row: int
    from_offset: int
    """First token of the part, counted in the sample from 0."""
    to_offset: int
    """One past its last token."""
    from_token: int
    """The same first token, counted in the document from 0."""
    tokens: int
    document_tokens: int


class SampleOfDocument(NamedTuple):
    """The part of a document that one sample of a stream holds."""

    domain: str
    split: str
    sample: int
    from_offset: int
    """First token of the part, counted in the sample from 0."""
    to_offset: int
    """One past its last token."""
    from_token: int
    """The same first token, counted in the document from 0."""
    path: str | None
    """Shard file, relative to the shard set; `None` in the remainder, which no shard holds."""
    sample_in_shard: int | None


def documents_in_sample(
    connection: duckdb.DuckDBPyConnection, domain: str, split: str, sample: int
) -> list[DocumentInSample]:
    """List what one sample of a stream is made of, in order; nothing when there is no such sample.

    The remainder of a stream has the number after its last sample.
    """
    rows = connection.execute(
        "FROM documents_in_sample(?, ?, ?)", [domain, split, sample]
    ).fetchall()
    return [DocumentInSample(*row) for row in rows]


def samples_of_document(
    connection: duckdb.DuckDBPyConnection, doc_id: str
) -> list[SampleOfDocument]:
    """List the samples that hold a document, in order; nothing when it is not kept."""
    rows = connection.execute("FROM samples_of_document(?)", [doc_id]).fetchall()
    return [SampleOfDocument(*row) for row in rows]
