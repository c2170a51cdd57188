"""How many rows and tokens of every unit go where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.corpus import UNROUTED
from mixscale.ingest.decisions import Decisions
from mixscale.ingest.unit_rows import KEPT, read_columns

Ints = NDArray[np.int64]
Stream = tuple[int, bool]
"""Number of the domain, and whether it is the validation split."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Sums by unit, domain and split; the last axis is train, validation."""

    rows: Ints
    """(units, domains + 1) records, kept or not; the last column is those without a domain."""
    documents: Ints
    """(units, domains, 2) kept records."""
    text_bytes: Ints
    """(units, domains, 2) UTF-8 bytes of the kept texts."""
    tokens: Ints
    """(units, domains, 2) tokens of the kept texts."""

    def streams(self) -> list[Stream]:
        """List all streams, the empty ones too."""
        return [(rank, split) for rank in range(self.tokens.shape[1]) for split in (False, True)]

    def first_tokens(self) -> Ints:
        """Find (units, domains, 2): where in each stream a unit's tokens begin."""
        return np.cumsum(self.tokens, axis=0) - self.tokens

    def document_files(self, domains: Sequence[str]) -> list[dict[str, int]]:
        """Number the Parquet files of each unit's documents, by domain; `UNROUTED` may be one.

        Args:
            domains: Names of the domains in order.
        """
        has_rows = self.rows > 0
        # Units without rows in a domain leave no gap in its numbers.
        numbers = np.where(has_rows, np.cumsum(has_rows, axis=0) - 1, -1)
        names = [*domains, UNROUTED]
        return [
            {name: number for name, number in zip(names, unit, strict=True) if number >= 0}
            for unit in numbers.tolist()
        ]


def count_rows(unit_rows: Sequence[Path], decisions: Decisions, domains: int) -> Counts:
    """Add up what was decided.

    Args:
        unit_rows: The Arrow file of every unit, in order.
        decisions: About the rows of these units.
        domains: The number of domains.
    """
    units = len(unit_rows)
    counts = Counts(
        rows=np.zeros((units, domains + 1), np.int64),
        documents=np.zeros((units, domains, 2), np.int64),
        text_bytes=np.zeros((units, domains, 2), np.int64),
        tokens=np.zeros((units, domains, 2), np.int64),
    )
    for unit, path in enumerate(unit_rows):
        _add_unit(counts, unit, path, decisions)
    return counts


def _add_unit(counts: Counts, unit: int, path: Path, decisions: Decisions) -> None:
    domains = counts.tokens.shape[1]
    here = decisions.unit(unit)
    rank, text_bytes, tokens = read_columns(path, "domain", "bytes", "tokens")
    rank = rank.astype(np.int64)
    counts.rows[unit] = np.bincount(np.where(rank < 0, domains, rank), minlength=domains + 1)
    kept = decisions.status()[here] == KEPT
    stream = (rank * 2 + decisions.validation()[here])[kept]
    counts.documents[unit] = np.bincount(stream, minlength=domains * 2).reshape(domains, 2)
    for values, sums in ((text_bytes, counts.text_bytes), (tokens, counts.tokens)):
        # np.bincount would add up in floating point.
        np.add.at(sums[unit].reshape(-1), stream, values[kept].astype(np.int64))
