"""What the page asks the index: sums, histograms, and a bounded number of rows.

Each query goes over the documents once and gives few rows, however many documents there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixscale.contracts.shardset import TRAIN

if TYPE_CHECKING:
    import duckdb

SAMPLES = 4
"""Texts of each domain."""
REJECT_SAMPLES = 3
"""Records of each reason."""
MOST_REASONS = 60
_MOST_FILES = 10
_META_CHARACTERS = 400
_LONGEST_PLACE = 300
_NUMBERS = r"\d+( characters)|(column |byte )\d+|(byte 0x)\w+"
"""What differs in the details of records that were left out for the same reason."""
BUCKETS_PER_DOUBLING = 2
"""Of the histograms of lengths."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The records of one domain, split and status."""

    domain: str
    split: str | None
    status: str
    records: int
    tokens: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long the kept documents of a domain are."""

    low: float
    """5 % are shorter."""
    median: float
    high: float
    """95 % are shorter."""
    longest: int
    counts: dict[int, int]
    """Documents by bucket: number n holds the lengths from `2 ** (n / BUCKETS_PER_DOUBLING)`."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why records of one domain were left out."""

    domain: str
    status: str
    why: str
    """Without the numbers that differ from record to record."""
    records: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A record that was left out, as far as the index keeps it."""

    place: str
    detail: str | None
    characters: int
    meta: str | None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A document that was kept, and where its tokens are."""

    domain: str
    place: str
    first_sample: int
    first_offset: int
    tokens: int
    bytes: int
    meta: str | None


@dataclass(frozen=True, kw_only=True)
class FileLoss:
    """An input file from which many records were left out."""

    domain: str
    file: str
    rejected: int
    records: int


def parts(connection: duckdb.DuckDBPyConnection) -> list[Part]:
    """Sum up the records by domain, split and status."""
    rows = connection.execute(
        "SELECT domain, split, status, count(*), coalesce(sum(tokens), 0)::UBIGINT, "
        "coalesce(sum(bytes), 0)::UBIGINT FROM documents GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [
        Part(domain=r[0], split=r[1], status=r[2], records=r[3], tokens=r[4], bytes=r[5])
        for r in rows
    ]


def lengths(connection: duckdb.DuckDBPyConnection, unit: str) -> dict[str, Lengths]:
    """Measure how long documents are; quantiles of many documents are approximate.

    Args:
        connection: To the index.
        unit: The column to measure by: `tokens`, or `bytes` where there are no tokens yet.
    """
    bucket = f"floor({BUCKETS_PER_DOUBLING} * log2(greatest({unit}, 1)))::INTEGER"
    histogram: dict[str, dict[int, int]] = {}
    for domain, number, count in connection.execute(
        f"SELECT domain, {bucket} AS bucket, count(*) FROM documents "
        "WHERE status = 'kept' GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        histogram.setdefault(domain, {})[number] = count
    rows = connection.execute(
        f"SELECT domain, approx_quantile({unit}, [0.05, 0.5, 0.95]), max({unit}) "
        "FROM documents WHERE status = 'kept' GROUP BY domain"
    ).fetchall()
    return {
        domain: Lengths(
            low=float(quantiles[0]),
            median=float(quantiles[1]),
            high=float(quantiles[2]),
            longest=longest,
            counts=histogram[domain],
        )
        for domain, quantiles, longest in rows
    }


def reasons(connection: duckdb.DuckDBPyConnection) -> list[Reason]:
    """Sum up what was left out by domain and reason, the commonest first, with examples.

    The examples are those with the lowest hashes of their places: always the same ones.
    """
    rows = connection.execute(
        f"""
WITH rejected AS (
    SELECT domain, status, source_file, source_row, detail, chars,
           left(regexp_replace(coalesce(detail, ''), '{_NUMBERS}', '\\2\\3…\\1', 'g'), 200) AS why
    FROM documents WHERE status NOT IN ('kept', 'duplicate', 'near_duplicate'))
SELECT domain, status, why, count(*) AS records, min_by(
    {{'file': source_file, 'row': source_row, 'detail': left(detail, 400), 'chars': chars}},
    md5(source_file || ':' || source_row), {REJECT_SAMPLES}) AS examples
FROM rejected GROUP BY domain, status, why
ORDER BY records DESC, domain, status, why LIMIT {MOST_REASONS}"""
    ).fetchall()
    metas = _metas(connection, [(one["file"], one["row"]) for row in rows for one in row[4]])
    return [
        Reason(
            domain=domain,
            status=status,
            why=why,
            records=count,
            examples=tuple(
                Example(
                    place=_named(one["file"], one["row"]),
                    detail=one["detail"],
                    characters=one["chars"] or 0,
                    meta=metas.get((one["file"], one["row"])),
                )
                for one in examples
            ),
        )
        for domain, status, why, count, examples in rows
    ]


def _metas(
    connection: duckdb.DuckDBPyConnection, places: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], str | None]:
    """Fetch the other fields of some records; for all records they would be much to read."""
    if not places:
        return {}
    files, numbers = (list(dict.fromkeys(values)) for values in zip(*places, strict=True))
    rows = connection.execute(
        f"SELECT source_file, source_row, left(meta::VARCHAR, {_META_CHARACTERS}) FROM documents "
        f"WHERE source_row IN ({', '.join(map(str, numbers))}) "
        f"AND source_file IN ({', '.join('?' for _ in files)})",
        files,
    ).fetchall()
    return {(file, number): meta for file, number, meta in rows}


def _named(file: str, number: int) -> str:
    return f"{file[:_LONGEST_PLACE]}:{number}"


def worst_files(connection: duckdb.DuckDBPyConnection) -> list[FileLoss]:
    """List the input files from which most records were left out."""
    rows = connection.execute(
        "SELECT domain, left(source_file, 300) AS file, count(*) FILTER (status NOT IN "
        "('kept', 'duplicate', 'near_duplicate')) AS rejected, count(*) AS records FROM documents "
        "GROUP BY domain, source_file HAVING rejected > 0 "
        f"ORDER BY rejected DESC, domain, source_file LIMIT {_MOST_FILES}"
    ).fetchall()
    return [FileLoss(domain=r[0], file=r[1], rejected=r[2], records=r[3]) for r in rows]


def copies(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, int]]:
    """Count duplicates by their domain and by that of the text that stays.

    Returns:
        Records and bytes, exact and near duplicates together.
    """
    several = connection.execute(
        "SELECT count(*) FROM (SELECT source_file FROM documents WHERE status = 'kept' "
        "GROUP BY source_file HAVING min(domain) <> max(domain) LIMIT 1)"
    ).fetchone()
    # Where a file belongs to one domain, which file stays tells which domain: no row of the kept
    # documents need be found.
    source = (
        "duplicates"
        if several != (0,)
        else """(
    WITH homes AS (
        SELECT source_file, any_value(domain) AS kept_domain FROM documents
        WHERE status = 'kept' GROUP BY source_file)
    SELECT copies.domain AS domain, kept_domain, bytes
    FROM documents AS copies
    JOIN homes ON homes.source_file = regexp_extract(copies.detail, '(?s)^(.*):[0-9]+$', 1)
    WHERE status IN ('duplicate', 'near_duplicate'))"""
    )
    rows = connection.execute(
        "SELECT domain, kept_domain, count(*), coalesce(sum(bytes), 0)::UBIGINT "
        f"FROM {source} WHERE kept_domain IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return {(r[0], r[1]): (r[2], r[3]) for r in rows}


def copy_examples(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    """Choose some duplicates of each kind: where the copy is, and where the record that stays."""
    rows = connection.execute(
        f"SELECT status, min_by({{'copy': {_place()}, 'kept': left(detail, {_LONGEST_PLACE})}}, "
        f"md5({_place()}), {REJECT_SAMPLES}) FROM documents "
        "WHERE status IN ('duplicate', 'near_duplicate') AND detail IS NOT NULL "
        "GROUP BY status ORDER BY status"
    ).fetchall()
    return {status: [(one["copy"], one["kept"]) for one in found] for status, found in rows}


def sampled(connection: duckdb.DuckDBPyConnection) -> list[Kept]:
    """Choose the training documents of every domain with the lowest hashes of their texts."""
    rows = connection.execute(
        f"""
SELECT domain, unnest(min_by(
    {{'file': source_file, 'row': source_row, 'first_sample': first_sample,
      'first_offset': first_offset, 'tokens': tokens, 'bytes': bytes}}, doc_id, {SAMPLES}),
    recursive := true)
FROM documents WHERE status = 'kept' AND split = '{TRAIN}' GROUP BY domain ORDER BY domain"""
    ).fetchall()
    metas = _metas(connection, [(row[1], row[2]) for row in rows])
    return [
        Kept(
            domain=r[0], place=_named(r[1], r[2]), first_sample=r[3], first_offset=r[4],
            tokens=r[5], bytes=r[6], meta=metas.get((r[1], r[2])),
        )
        for r in rows
    ]  # fmt: skip


def bucket_start(number: int) -> float:
    """Return the length at which a bucket of the histograms begins."""
    return 2.0 ** (number / BUCKETS_PER_DOUBLING)


def bucket_of(length: float) -> float:
    """Return where in the histograms a length lies, in buckets."""
    return BUCKETS_PER_DOUBLING * math.log2(max(length, 1))


def count_by(rows: Sequence[Part], **wanted: Any) -> int:
    """Sum the records of the parts that have these values."""
    return sum(
        row.records
        for row in rows
        if all(getattr(row, name) == value for name, value in wanted.items())
    )


def _place() -> str:
    return f"left(source_file, {_LONGEST_PLACE}) || ':' || source_row"
