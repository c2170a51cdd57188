"""Checks of the documents table against itself and against the streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mixscale.contracts.shardset import SPLITS, ShardSet
from mixscale.shards.sql.documents import STATUSES
from mixscale.shards.sql.quoting import literal
from mixscale.shards.verify.problem import Problem

if TYPE_CHECKING:
    import duckdb


_NAMES = {
    "statuses": ", ".join(map(literal, STATUSES)),
    "splits": ", ".join(map(literal, SPLITS)),
}

_RECORDS = "SELECT count(*) FROM documents"

_SUMS = """
SELECT domain, split, count(*), sum(tokens)::UBIGINT, sum(bytes)::UBIGINT
FROM documents WHERE status = 'kept' GROUP BY domain, split ORDER BY ALL"""

_WRONG_ROWS = """
WITH checked AS (
    SELECT domain, source_file, source_row, CASE
        WHEN status NOT IN ({statuses}) THEN 'unknown status'
        WHEN status <> 'kept' THEN CASE
            WHEN split IS NOT NULL OR first_sample IS NOT NULL OR first_offset IS NOT NULL
                THEN 'has a place in a stream but is not kept'
            WHEN tokens <> 0 THEN 'has tokens but is not kept' END
        WHEN split IS NULL OR split NOT IN ({splits}) THEN 'kept in no known split'
        WHEN doc_id IS NULL THEN 'kept without a doc_id'
        WHEN tokens = 0 THEN 'kept without tokens'
        WHEN first_sample IS NULL OR first_offset IS NULL THEN 'kept without a place'
        WHEN first_offset >= sequence_length THEN 'first_offset is not inside a sample'
        END AS problem
    FROM documents, shardset)
SELECT problem, count(*), min((domain, source_file, source_row)) AS example
FROM checked WHERE problem IS NOT NULL GROUP BY problem ORDER BY problem""".format(**_NAMES)

_MISPLACED = """
WITH kept AS (
    SELECT domain, split, source_file, source_row, tokens,
           first_sample * sequence_length + first_offset AS start
    FROM documents, shardset WHERE status = 'kept'),
summed AS (
    SELECT *, sum(tokens) OVER (
        PARTITION BY domain, split ORDER BY start, source_file, source_row
        ROWS UNBOUNDED PRECEDING) - tokens AS expected
    FROM kept)
SELECT domain, split, count(*), arg_min((source_file, source_row, start, expected), start)
FROM summed WHERE start IS NOT NULL AND start <> expected GROUP BY domain, split ORDER BY ALL"""

_LEAKED = """
SELECT doc_id, min((split, domain, source_file, source_row)),
       max((split, domain, source_file, source_row))
FROM documents WHERE status = 'kept' AND doc_id IS NOT NULL
GROUP BY doc_id HAVING min(split) <> max(split) ORDER BY doc_id LIMIT 10"""

_REPEATED = """
SELECT domain, source_file, source_row, count(*)
FROM documents GROUP BY domain, source_file, source_row HAVING count(*) > 1
ORDER BY ALL LIMIT 10"""

_LAST_TOKENS = """
SELECT (first_sample * sequence_length + first_offset + tokens - 1)::BIGINT AS last
FROM documents, shardset
WHERE status = 'kept' AND domain = ? AND split = ? AND first_sample IS NOT NULL
ORDER BY last"""


def count_records(connection: duckdb.DuckDBPyConnection) -> int:
    """Count the rows of the documents table."""
    return _fetch(connection, _RECORDS)[0][0]


def last_tokens(
    connection: duckdb.DuckDBPyConnection, domain: str, split: str
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Give the place of every document's last token in its stream, (documents,), increasing."""
    return connection.execute(_LAST_TOKENS, [domain, split]).fetchnumpy()["last"].astype(np.int64)


def document_problems(
    connection: duckdb.DuckDBPyConnection, shardset: ShardSet
) -> Iterator[Problem]:
    """Check that the rows add up to the streams and that each document lies where it says."""
    yield from _sum_problems(connection, shardset)
    for problem, count, example in _fetch(connection, _WRONG_ROWS):
        yield Problem(_record(*example), f"{problem} ({count} such records)")
    for domain, split, count, (file, row, start, expected) in _fetch(connection, _MISPLACED):
        yield Problem(
            _record(domain, file, row),
            f"starts at token {start} of {domain}/{split}, but the documents before it end at "
            f"{expected} ({count} such documents)",
        )
    for doc_id, one, other in _fetch(connection, _LEAKED):
        yield Problem(
            _record(*one[1:]),
            f"{doc_id} is in {one[0]}, and in {other[0]} as well: {_record(*other[1:])}",
        )
    for domain, file, row, count in _fetch(connection, _REPEATED):
        yield Problem(_record(domain, file, row), f"{count} rows for one record")


def _sum_problems(connection: duckdb.DuckDBPyConnection, shardset: ShardSet) -> Iterator[Problem]:
    sums = {(domain, split): tuple(rest) for domain, split, *rest in _fetch(connection, _SUMS)}
    for domain, splits in shardset.domains.items():
        for split, summary in splits.items():
            found = sums.pop((domain, split), (0, 0, 0))
            expected = (summary.documents, summary.tokens, summary.text_bytes)
            names = ("documents", "tokens", "bytes of text")
            for name, ours, theirs in zip(names, found, expected, strict=True):
                if ours != theirs:
                    yield Problem(
                        f"documents/{domain}",
                        f"{ours} {name} kept in {split}, but shardset.json says {theirs}",
                    )
    for (domain, split), (documents, *_) in sums.items():
        yield Problem(
            f"documents/{domain}", f"{documents} documents kept in {split}, which is no stream"
        )


def _fetch(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def _record(domain: str, file: str, row: int) -> str:
    return f"documents/{domain}: {file}:{row}"
