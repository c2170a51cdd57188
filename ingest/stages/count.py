"""How many rows and tokens of every bundle go where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.corpus import UNROUTED
from mixscale.ingest.decisions import Decisions
from mixscale.ingest.runtime.runner import Runner
from mixscale.ingest.stages.row_tasks import BundleRows, bundle_rows
from mixscale.ingest.unit_rows import KEPT

Ints = NDArray[np.int64]
Stream = tuple[int, bool]
"""Number of the domain, and whether it is the validation split."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Sums by bundle, domain and split; the last axis is train, validation."""

    rows: Ints
    """(bundles, domains + 1) records, kept or not; the last column is those without a domain."""
    documents: Ints
    """(bundles, domains, 2) kept records."""
    text_bytes: Ints
    """(bundles, domains, 2) UTF-8 bytes of the kept texts."""
    tokens: Ints
    """(bundles, domains, 2) tokens of the kept texts."""
    lacking: Ints
    """(bundles,) kept texts whose tokens are not there: growing did not take them back."""

    def streams(self) -> list[Stream]:
        """List all streams, the empty ones too."""
        return [(rank, split) for rank in range(self.tokens.shape[1]) for split in (False, True)]

    def first_tokens(self) -> Ints:
        """Find (bundles, domains, 2): where in each stream a bundle's tokens begin."""
        return np.cumsum(self.tokens, axis=0) - self.tokens

    def document_files(self, domains: Sequence[str]) -> list[dict[str, int]]:
        """Number the Parquet files of each bundle's documents, by domain; `UNROUTED` may be one.

        Args:
            domains: Names of the domains in order.
        """
        has_rows = self.rows > 0
        # Bundles without rows in a domain leave no gap in its numbers.
        numbers = np.where(has_rows, np.cumsum(has_rows, axis=0) - 1, -1)
        names = [*domains, UNROUTED]
        return [
            {name: number for name, number in zip(names, bundle, strict=True) if number >= 0}
            for bundle in numbers.tolist()
        ]


@dataclass(frozen=True, kw_only=True)
class CountTask:
    """Some bundles that follow each other."""

    rows: BundleRows
    decisions: Decisions
    domains: int
    """How many there are."""


def count_rows(
    rows_paths: Sequence[Path], rows: Sequence[int], decisions: Decisions, domains: int, run: Runner
) -> Counts:
    """Add up what was decided.

    Args:
        rows_paths: The Arrow file of every bundle, in order.
        rows: How many rows each has.
        decisions: About these rows.
        domains: The number of domains.
        run: Runs the tasks.
    """
    tasks = [
        CountTask(rows=some, decisions=decisions, domains=domains)
        for some in bundle_rows(rows_paths, rows)
    ]
    found = run(count_bundles, tasks, lambda *_: None)
    names = ("rows", "documents", "text_bytes", "tokens", "lacking")
    return Counts(**{name: np.concatenate([getattr(c, name) for c in found]) for name in names})


def count_bundles(task: CountTask) -> Counts:
    """Add up what was decided about some bundles."""
    bundles, domains = len(task.rows.paths), task.domains
    counts = Counts(
        rows=np.zeros((bundles, domains + 1), np.int64),
        documents=np.zeros((bundles, domains, 2), np.int64),
        text_bytes=np.zeros((bundles, domains, 2), np.int64),
        tokens=np.zeros((bundles, domains, 2), np.int64),
        lacking=np.zeros(bundles, np.int64),
    )
    for bundle, first, some in task.rows.slices(["domain", "bytes", "tokens"]):
        columns = [column.to_numpy() for column in some.columns]
        _add(counts, bundle, columns, task.decisions, first)
    return counts


def _add(
    counts: Counts, bundle: int, columns: Sequence[Ints], decisions: Decisions, first: int
) -> None:
    domains = counts.tokens.shape[1]
    rank, text_bytes, tokens = columns
    rank = rank.astype(np.int64)
    last = first + len(rank)
    counts.rows[bundle] += np.bincount(np.where(rank < 0, domains, rank), minlength=domains + 1)
    kept = decisions.status(first, last) == KEPT
    stream = (rank * 2 + decisions.validation(first, last))[kept]
    documents = np.bincount(stream, minlength=domains * 2)
    counts.documents[bundle] += documents.reshape(domains, 2)
    for values, sums in ((text_bytes, counts.text_bytes), (tokens, counts.tokens)):
        # np.bincount would add up in floating point.
        np.add.at(sums[bundle].reshape(-1), stream, values[kept].astype(np.int64))
    # A kept text has its end-of-text token at least.
    counts.lacking[bundle] += np.count_nonzero(kept & (tokens == 0))
