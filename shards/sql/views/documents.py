"""Views of the input records and of what became of them."""

from __future__ import annotations

from mixscale.shards.sql.documents import DOCUMENT_COLUMNS, REJECTED
from mixscale.shards.sql.view import View

# Parquet holds `meta` as text.
_SELECTED = ["meta::JSON AS meta" if name == "meta" else name for name in DOCUMENT_COLUMNS]

_DOCUMENTS = View(
    row="an input record, whatever became of it",
    columns=DOCUMENT_COLUMNS,
    sql=f"SELECT {', '.join(_SELECTED)} FROM $documents",
)

_DOMAINS = View(
    row="a domain's split, or, with a null split, the records of a domain that were not kept",
    columns={
        "domain": "domain",
        "split": "train, validation, or null for the records that were not kept",
        "records": "input records",
        "documents": "documents kept",
        "tokens": "tokens of the kept documents, end-of-text tokens included",
        "samples": "whole samples in the shards",
        "remainder_tokens": "tokens after the last whole sample, in no shard",
        "chars": "Unicode code points of the texts",
        "bytes": "UTF-8 bytes of the texts",
        "tokens_per_byte": "tokens per UTF-8 byte of the kept texts",
        "tokens_p05": "tokens of a document: 5% are shorter",
        "tokens_p25": "tokens of a document: 25% are shorter",
        "tokens_p50": "tokens of a document: the median",
        "tokens_p75": "tokens of a document: 75% are shorter",
        "tokens_p95": "tokens of a document: 95% are shorter",
        "tokens_max": "tokens of the longest document",
        "duplicates": "records left out as exact or near duplicates",
        "near_duplicates": "those of them that are near duplicates",
        "rejects": "records left out for another reason",
        "shards": "shard files",
        "shard_bytes": "bytes of the shard files on disk",
    },
    sql="""
WITH counted AS (
    SELECT domain, split, count(*) AS records,
           count(*) FILTER (status = 'kept') AS documents,
           sum(tokens)::UBIGINT AS tokens, sum(chars)::UBIGINT AS chars,
           sum(bytes)::UBIGINT AS bytes,
           quantile_cont(tokens, [0.05, 0.25, 0.5, 0.75, 0.95])
               FILTER (status = 'kept') AS quantiles,
           max(tokens) FILTER (status = 'kept') AS tokens_max,
           count(*) FILTER (status IN ('duplicate', 'near_duplicate')) AS duplicates,
           count(*) FILTER (status = 'near_duplicate') AS near_duplicates
    FROM documents GROUP BY domain, split),
stored AS (
    SELECT domain, split, count(*) AS shards, sum(samples)::UBIGINT AS samples,
           sum(tokens)::UBIGINT AS tokens, sum(bytes)::UBIGINT AS bytes
    FROM shards GROUP BY domain, split),
places AS (SELECT DISTINCT domain, position FROM streams)
SELECT named.domain, named.split,
       coalesce(counted.records, 0)::UBIGINT AS records,
       coalesce(counted.documents, 0)::UBIGINT AS documents,
       coalesce(counted.tokens, 0) AS tokens,
       coalesce(stored.samples, 0) AS samples,
       coalesce(counted.tokens, 0)::BIGINT - coalesce(stored.tokens, 0)::BIGINT AS remainder_tokens,
       coalesce(counted.chars, 0) AS chars, coalesce(counted.bytes, 0) AS bytes,
       CASE WHEN counted.documents > 0 THEN counted.tokens / nullif(counted.bytes, 0) END
           AS tokens_per_byte,
       quantiles[1] AS tokens_p05, quantiles[2] AS tokens_p25, quantiles[3] AS tokens_p50,
       quantiles[4] AS tokens_p75, quantiles[5] AS tokens_p95, tokens_max,
       coalesce(duplicates, 0)::UBIGINT AS duplicates,
       coalesce(near_duplicates, 0)::UBIGINT AS near_duplicates,
       coalesce(counted.records - counted.documents - duplicates, 0)::UBIGINT AS rejects,
       coalesce(stored.shards, 0)::UINTEGER AS shards,
       coalesce(stored.bytes, 0) AS shard_bytes
FROM (SELECT domain, split FROM streams UNION SELECT domain, split FROM counted) AS named
LEFT JOIN counted
    ON counted.domain = named.domain AND counted.split IS NOT DISTINCT FROM named.split
LEFT JOIN stored ON stored.domain = named.domain AND stored.split = named.split
LEFT JOIN places ON places.domain = named.domain
ORDER BY position, named.domain, named.split NULLS LAST""",
)

_REJECTS = View(
    row="a record that was left out for what it is, not for repeating another",
    columns={
        "domain": "domain the record was read for",
        "status": "why: " + ", ".join(REJECTED),
        "detail": "more about why",
        "source_file": "input file",
        "source_row": "record number in the input file, from 1",
        "doc_id": "hash of the text; null when there is no text",
        "chars": "Unicode code points of the text",
        "bytes": "UTF-8 bytes of the text",
    },
    sql="""
SELECT domain, status, detail, source_file, source_row, doc_id, chars, bytes
FROM documents WHERE status NOT IN ('kept', 'duplicate', 'near_duplicate')""",
)

_DUPLICATES = View(
    row="a duplicate with the kept document that stays in its place",
    columns={
        "domain": "domain of the duplicate",
        "status": "duplicate or near_duplicate",
        "detail": "file and row of the record that stays",
        "source_file": "input file of the duplicate",
        "source_row": "its record number",
        "doc_id": "hash of the text",
        "bytes": "UTF-8 bytes of the text",
        "kept_domain": "domain of the kept document",
        "kept_split": "split of the kept document",
        "kept_file": "input file of the kept document",
        "kept_row": "its record number",
    },
    sql="""
WITH copies AS (
    SELECT *, regexp_extract(detail, '(?s)^(.*):[0-9]+$$', 1) AS file_that_stays,
           try_cast(regexp_extract(detail, ':([0-9]+)$$', 1) AS UBIGINT) AS row_that_stays
    FROM documents WHERE status IN ('duplicate', 'near_duplicate'))
SELECT copies.domain, copies.status, copies.detail, copies.source_file, copies.source_row,
       copies.doc_id, copies.bytes,
       kept.domain AS kept_domain, kept.split AS kept_split,
       kept.source_file AS kept_file, kept.source_row AS kept_row
FROM copies
LEFT JOIN documents AS kept ON kept.status = 'kept'
    AND kept.source_file = file_that_stays AND kept.source_row = row_that_stays""",
)

VIEWS = {
    "documents": _DOCUMENTS,
    "domains": _DOMAINS,
    "rejects": _REJECTS,
    "duplicates": _DUPLICATES,
}
"""In an order in which each uses only those before it and the views of the shard set."""
