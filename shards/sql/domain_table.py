"""The domain table: what each domain holds and what became of its records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mixscale.contracts.shardset import TRAIN
from mixscale.shards.sql.index import open_index

if TYPE_CHECKING:
    from rich.table import Table


class DomainRow(NamedTuple):
    """A row of the view `domains`; without a split, the records of a domain that were not kept."""

    domain: str
    split: str | None
    records: int
    documents: int
    tokens: int
    samples: int
    remainder_tokens: int
    chars: int
    bytes: int
    tokens_per_byte: float | None
    tokens_p05: float | None
    tokens_p25: float | None
    tokens_p50: float | None
    tokens_p75: float | None
    tokens_p95: float | None
    tokens_max: int | None
    duplicates: int
    near_duplicates: int
    """Of the duplicates."""
    rejects: int
    shards: int
    shard_bytes: int


def domain_table(folder: str | Path) -> list[DomainRow]:
    """Read the view `domains` of a shard set, in the order of its corpus config.

    Raises:
        UserError: The folder is not a finished shard set.
    """
    with open_index(folder) as connection:
        return [DomainRow(*row) for row in connection.execute("FROM domains").fetchall()]


def as_json(rows: Sequence[DomainRow]) -> list[dict[str, Any]]:
    """Turn the rows into JSON objects."""
    return [row._asdict() for row in rows]


def render(rows: Sequence[DomainRow]) -> Table:
    """Draw the rows for people; shares are of the training tokens."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("domain", "split"):
        table.add_column(name, no_wrap=True)
    for name in _NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    train_tokens = sum(row.tokens for row in rows if row.split == TRAIN)
    for row in rows:
        table.add_row(row.domain, row.split or "not kept", *_cells(row, train_tokens))
    table.add_section()
    table.add_row("total", "", *_cells(_total(rows), 0), style="bold")
    return table


_NUMBERS = (
    "records",
    "documents",
    "tokens",
    "share",
    "samples",
    "tokens/byte",
    "median",
    "95%",
    "duplicates",
    "near",
    "rejects",
    "shards",
)


def _cells(row: DomainRow, train_tokens: int) -> tuple[str, ...]:
    share = row.tokens / train_tokens if row.split == TRAIN and train_tokens else None
    return (
        _count(row.records),
        _count(row.documents),
        _count(row.tokens),
        "" if share is None else f"{share:.1%}",
        _count(row.samples),
        "" if row.tokens_per_byte is None else f"{row.tokens_per_byte:.3f}",
        "" if row.tokens_p50 is None else f"{row.tokens_p50:,.0f}",
        "" if row.tokens_p95 is None else f"{row.tokens_p95:,.0f}",
        _count(row.duplicates),
        _count(row.near_duplicates),
        _count(row.rejects),
        _count(row.shards),
    )


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _total(rows: Sequence[DomainRow]) -> DomainRow:
    """Add up what can be added; quantiles of domains cannot."""
    kept_bytes = sum(row.bytes for row in rows if row.split is not None)
    sums = {name: sum(getattr(row, name) for row in rows) for name in _ADDED}
    values: dict[str, Any] = dict.fromkeys(DomainRow._fields) | sums
    values["domain"] = "total"
    values["tokens_per_byte"] = sums["tokens"] / kept_bytes if kept_bytes else None
    return DomainRow(**values)


_ADDED = (
    "records",
    "documents",
    "tokens",
    "samples",
    "remainder_tokens",
    "chars",
    "bytes",
    "duplicates",
    "near_duplicates",
    "rejects",
    "shards",
    "shard_bytes",
)
