"""The table macros: where documents lie in samples, and samples in shards."""

from __future__ import annotations

from mixscale.shards.sql.view import Macro

_PLACED = """
    SELECT documents.*, first_sample * sequence_length + first_offset AS first_token,
           sequence_length::UBIGINT AS length
    FROM documents, shardset WHERE status = 'kept'"""

MACROS = {
    "documents_in_sample": Macro(
        answers="the documents, or parts of documents, that a sample of a stream holds, in order",
        parameters=("of_domain", "of_split", "of_sample"),
        columns={
            "doc_id": "document",
            "source_file": "input file",
            "source_row": "record number in the input file, from 1",
            "from_offset": "first token of the part, counted in the sample from 0",
            "to_offset": "one past its last token",
            "from_token": "the same first token, counted in the document from 0",
            "tokens": "tokens of the part",
            "document_tokens": "tokens of the whole document",
        },
        sql=f"""
WITH placed AS ({_PLACED}
        AND domain = of_domain AND split = of_split AND first_sample <= of_sample),
parts AS (
    SELECT *, greatest(first_token, of_sample::UBIGINT * length) AS start,
           least(first_token + tokens, (of_sample::UBIGINT + 1) * length) AS stop
    FROM placed WHERE first_token + tokens > of_sample::UBIGINT * length)
SELECT doc_id, source_file, source_row, start - of_sample::UBIGINT * length AS from_offset,
       stop - of_sample::UBIGINT * length AS to_offset, start - first_token AS from_token,
       stop - start AS tokens, parts.tokens AS document_tokens
FROM parts ORDER BY start""",
    ),
    "samples_of_document": Macro(
        answers="the samples that hold a document, with the place of each part",
        parameters=("of_doc_id",),
        columns={
            "domain": "domain",
            "split": "train or validation",
            "sample": "sample, counted in the stream from 0",
            "from_offset": "first token of the part, counted in the sample from 0",
            "to_offset": "one past its last token",
            "from_token": "the same first token, counted in the document from 0",
            "path": "shard file, relative to the shard set; null in the remainder",
            "sample_in_shard": "the sample, counted in its shard from 0",
        },
        sql=f"""
WITH placed AS ({_PLACED} AND doc_id = of_doc_id),
samples AS (
    SELECT *, unnest(range((first_token // length)::BIGINT,
                           ((first_token + tokens - 1) // length)::BIGINT + 1))::UBIGINT AS sample
    FROM placed)
SELECT samples.domain, samples.split, sample,
       greatest(first_token, sample * length) - sample * length AS from_offset,
       least(first_token + samples.tokens, (sample + 1) * length) - sample * length AS to_offset,
       greatest(first_token, sample * length) - first_token AS from_token,
       shards.path, sample - shards.first_sample AS sample_in_shard
FROM samples LEFT JOIN shards
    ON shards.domain = samples.domain AND shards.split = samples.split
    AND sample >= shards.first_sample AND sample < shards.first_sample + shards.samples
ORDER BY samples.domain, samples.split, sample""",
    ),
}
"""By name."""
