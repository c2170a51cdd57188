"""Which copy of a text stays, decided over all units together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.corpus import Near
from mixscale.ingest.decisions import Decisions
from mixscale.ingest.dedup.minhash import read_signatures
from mixscale.ingest.dedup.near_duplicates import (
    Texts,
    collect_candidates,
    find_near_duplicates,
    rank_of,
    resolve_chains,
)
from mixscale.ingest.select.validation import choose_validation
from mixscale.ingest.unit_rows import DUPLICATE, HAS_TEXT, KEPT, NEAR_DUPLICATE, read_columns

Scope = Literal["corpus", "domain", "none"]
BUCKET_ROWS = 1 << 21
"""Rows compared at once; bounds the memory, whatever the size of the corpus."""


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
    for unit, path in enumerate(unit_rows):
        (status[decisions.unit(unit)],) = read_columns(path, "status")
    if policy.scope != "none":
        buckets = max(1, -(-decisions.rows // BUCKET_ROWS))
        for bucket in range(buckets):
            _mark_duplicates(unit_rows, decisions, policy, bucket, buckets)
    if policy.near is not None:
        _mark_near_duplicates(unit_rows, unit_signatures, decisions, policy, policy.near)
    choose_validation(unit_rows, decisions, policy.share, policy.documents)
    decisions.flush()
    return decisions


def _mark_duplicates(
    unit_rows: Sequence[Path], decisions: Decisions, policy: Policy, bucket: int, buckets: int
) -> None:
    """Mark the copies among the texts whose hash falls into one bucket."""
    priority = np.asarray(policy.priority, np.int64)
    found: list[tuple[NDArray[Any], ...]] = []
    for unit, path in enumerate(unit_rows):
        high, low, rank, unit_status = read_columns(path, "high", "low", "domain", "status")
        chosen = np.isin(unit_status, HAS_TEXT)
        if buckets > 1:
            chosen &= high % np.uint64(buckets) == bucket
        index = np.flatnonzero(chosen)
        first = decisions.unit(unit).start
        found.append((high[index], low[index], priority[rank[index]], index + first))
    high, low, rank, index = (np.concatenate(columns) for columns in zip(*found, strict=True))
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


def _mark_near_duplicates(
    unit_rows: Sequence[Path],
    unit_signatures: Sequence[Path],
    decisions: Decisions,
    policy: Policy,
    near: Near,
) -> None:
    """Mark the near duplicates among the texts that no exact copy has taken out."""
    status, copy_of = decisions.status(), decisions.copy_of()

    def texts() -> Iterator[Texts]:
        priority = np.asarray(policy.priority, np.int64)
        for unit, (rows_path, path) in enumerate(zip(unit_rows, unit_signatures, strict=True)):
            unit_status, ranks = read_columns(rows_path, "status", "domain")
            here = decisions.unit(unit)
            signed = np.flatnonzero(unit_status == KEPT)
            chosen = status[here][signed] == KEPT
            rows = signed[chosen] + here.start
            domain = ranks.astype(np.int64)[signed[chosen]]
            yield Texts(
                rows=rows,
                ranks=rank_of(priority[domain], rows),
                scopes=domain + 1 if policy.scope == "domain" else np.zeros_like(domain),
                signatures=read_signatures(path, near)[chosen],
            )

    count = int(np.count_nonzero(status == KEPT))
    folder = decisions.folder / "near"
    candidates = collect_candidates(folder, near, count, texts())
    for losers, winners in find_near_duplicates(candidates):
        status[losers] = NEAR_DUPLICATE
        copy_of[losers] = winners
    resolve_chains(copy_of)
    shutil.rmtree(folder)
