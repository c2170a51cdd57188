"""What only all units together can tell: which copy of a text stays, which split it goes to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixscale.ingest.corpus import Near
from mixscale.ingest.dedup.minhash import Signatures
from mixscale.ingest.dedup.near_duplicates import find_near, follow, gather, rank_of
from mixscale.ingest.stages.read import (
    DUPLICATE,
    HAS_TEXT,
    KEPT,
    NEAR_DUPLICATE,
    map_signatures,
    read_rows,
)

Scope = Literal["corpus", "domain", "none"]
BUCKET_ROWS = 1 << 21
"""Rows compared at once; bounds the memory, whatever the size of the corpus."""
_HASHES = 1 << 64


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How copies and splits are chosen."""

    scope: Scope
    priority: tuple[int, ...]
    """By domain: lower wins."""
    share: float | None
    """Share of the texts held out for validation, or nothing when `documents` counts."""
    documents: int
    """Documents of each domain held out for validation."""
    near: Near | None = None
    """When two texts count as nearly the same; nothing when they may be."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What became of all rows: arrays of (rows,) on disk, the units one after the other."""

    folder: Path
    starts: NDArray[np.int64]
    """(units + 1,) the first row of every unit, then the number of rows."""

    @property
    def rows(self) -> int:
        """Rows of all units together."""
        return int(self.starts[-1])

    def status(self) -> NDArray[np.uint8]:
        """Whether a row with text is kept or a copy; other rows keep their unit's word."""
        return self._map("status", np.uint8)

    def copy_of(self) -> NDArray[np.int64]:
        """The row with the same text, or nearly the same, that stays; or -1."""
        return self._map("copy_of", np.int64)

    def validation(self) -> NDArray[np.bool_]:
        """Whether a kept row is held out."""
        return self._map("validation", np.bool_)

    def _map(self, name: str, dtype: Any) -> NDArray[Any]:
        if self.rows == 0:
            return np.empty(0, dtype)
        return np.memmap(self.folder / name, dtype, mode="r+", shape=(self.rows,))

    def flush(self) -> None:
        """Write out what is mapped: other machines read it through a network file system."""
        for name in ("status", "copy_of", "validation"):
            with (self.folder / name).open("rb") as stream:
                os.fsync(stream.fileno())

    def reserve(self) -> None:
        """Make the files at full size, because a full disk kills who writes to a mapped file."""
        for name, width in (("status", 1), ("copy_of", 8), ("validation", 1)):
            with (self.folder / name).open("wb") as stream:
                if self.rows:
                    os.posix_fallocate(stream.fileno(), 0, self.rows * width)


def decide(
    unit_rows: Sequence[Path],
    counts: Sequence[int],
    policy: Policy,
    folder: Path,
    unit_signatures: Sequence[Path] = (),
) -> Decisions:
    """Decide about all rows.

    Args:
        unit_rows: The Arrow file of every unit, in order.
        counts: How many rows each has.
        policy: How copies and splits are chosen.
        folder: An empty folder for the answer.
        unit_signatures: The signatures of every unit, when the policy asks for them.
    """
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    decisions = Decisions(folder=folder, starts=starts)
    decisions.reserve()
    status, copy_of = decisions.status(), decisions.copy_of()
    copy_of[:] = -1
    for first, table in _tables(unit_rows, starts):
        status[first : first + len(table)] = _numpy(table, "status")
    if policy.scope != "none":
        buckets = max(1, -(-decisions.rows // BUCKET_ROWS))
        for bucket in range(buckets):
            _find_copies(unit_rows, decisions, policy, bucket, buckets)
    if policy.near is not None:
        _find_near_copies(unit_rows, unit_signatures, decisions, policy, policy.near)
    _choose_validation(unit_rows, decisions, policy)
    decisions.flush()
    return decisions


def _tables(unit_rows: Sequence[Path], starts: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
    for path, first in zip(unit_rows, starts[:-1].tolist(), strict=True):
        yield first, read_rows(path)


def _numpy(table: pa.Table, name: str) -> NDArray[Any]:
    return table.column(name).to_numpy()


def _find_copies(
    unit_rows: Sequence[Path], decisions: Decisions, policy: Policy, bucket: int, buckets: int
) -> None:
    """Mark the copies among the texts whose hash falls into one bucket."""
    priority = np.asarray(policy.priority, np.int64)
    parts: list[tuple[NDArray[Any], ...]] = []
    for first, table in _tables(unit_rows, decisions.starts):
        high = _numpy(table, "high")
        chosen = np.isin(_numpy(table, "status"), HAS_TEXT)
        if buckets > 1:
            chosen &= high % np.uint64(buckets) == bucket
        index = np.flatnonzero(chosen)
        low, rank = _numpy(table, "low")[index], _numpy(table, "domain")[index]
        parts.append((high[index], low, priority[rank], index + first))
    high, low, rank, index = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    some = _repeated(high)
    high, low, rank, index = high[some], low[some], rank[some], index[some]
    # The first of a group wins: the best domain, then the first in the order of the files.
    order = np.lexsort([index, rank, low, high])
    keys = [low, high] if policy.scope == "corpus" else [rank, low, high]
    is_first = np.ones(len(order), np.bool_)
    if len(order) > 1:
        same = [key[order][1:] == key[order][:-1] for key in keys]
        is_first[1:] = ~np.logical_and.reduce(same)
    winners = index[order][is_first][np.cumsum(is_first) - 1]
    losers = index[order][~is_first]
    decisions.copy_of()[losers] = winners[~is_first]
    decisions.status()[losers] = DUPLICATE


def _repeated(values: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Find where the values are that occur more than once."""
    order = np.argsort(values, kind="stable")
    same = values[order][1:] == values[order][:-1]
    repeated = np.zeros(len(values), np.bool_)
    repeated[1:] |= same
    repeated[:-1] |= same
    return order[repeated]


def _find_near_copies(
    unit_rows: Sequence[Path],
    unit_signatures: Sequence[Path],
    decisions: Decisions,
    policy: Policy,
    near: Near,
) -> None:
    """Mark the near duplicates among the texts that no exact copy has taken out."""
    status, copy_of = decisions.status(), decisions.copy_of()

    def parts() -> Iterator[tuple[Any, Any, Any, Signatures]]:
        priority = np.asarray(policy.priority, np.int64)
        tables = _tables(unit_rows, decisions.starts)
        for (first, table), path in zip(tables, unit_signatures, strict=True):
            signed = np.flatnonzero(_numpy(table, "status") == KEPT)
            chosen = status[first : first + len(table)][signed] == KEPT
            rows = signed[chosen]
            domain = _numpy(table, "domain").astype(np.int64)[rows]
            scopes = domain + 1 if policy.scope == "domain" else np.zeros_like(domain)
            signatures = map_signatures(path, near)[chosen]
            yield rows + first, rank_of(priority[domain], rows + first), scopes, signatures

    count = int(np.count_nonzero(status == KEPT))
    scratch = decisions.folder / "near"
    candidates = gather(scratch, near, count, parts())
    for losers, winners in find_near(candidates):
        status[losers] = NEAR_DUPLICATE
        copy_of[losers] = winners
    follow(copy_of)
    shutil.rmtree(scratch)


def _choose_validation(unit_rows: Sequence[Path], decisions: Decisions, policy: Policy) -> None:
    validation, status = decisions.validation(), decisions.status()
    limit = np.uint64(min(int((policy.share or 0) * _HASHES), _HASHES - 1))
    lowest = (
        None if policy.share is not None else _lowest_hashes(unit_rows, decisions, policy.documents)
    )
    for first, table in _tables(unit_rows, decisions.starts):
        # By hash alone: a copy of a text that stays elsewhere is always in the same split.
        low = _numpy(table, "low")
        chosen = low < limit if lowest is None else np.isin(low, lowest)
        rows = slice(first, first + len(table))
        validation[rows] = chosen & (status[rows] == KEPT)


def _lowest_hashes(
    unit_rows: Sequence[Path], decisions: Decisions, documents: int
) -> NDArray[np.uint64]:
    """Take the hashes of the texts with the lowest ones, so many for each domain."""
    lowest: dict[int, NDArray[np.uint64]] = {}
    status = decisions.status()
    for first, table in _tables(unit_rows, decisions.starts):
        low, rank = _numpy(table, "low"), _numpy(table, "domain")
        kept = status[first : first + len(table)] == KEPT
        for domain in np.unique(rank[kept]).tolist():
            found = low[kept & (rank == domain)]
            known = lowest.get(domain, np.empty(0, np.uint64))
            lowest[domain] = np.unique(np.concatenate([known, found]))[:documents]
    return np.concatenate([*lowest.values(), np.empty(0, np.uint64)])
