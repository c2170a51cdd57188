"""How many rows and tokens of every unit go where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.dedup.decide import Decisions
from mixscale.ingest.stages.read import KEPT, read_rows

Counts = NDArray[np.int64]
Stream = tuple[int, bool]
"""Number of the domain, and whether it is the validation split."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Sums by unit, domain and split; the last axis is train, validation."""

    rows: Counts
    """(units, domains + 1) records, kept or not; the last column is those without a domain."""
    documents: Counts
    """(units, domains, 2) kept records."""
    text_bytes: Counts
    """(units, domains, 2) UTF-8 bytes of the kept texts."""
    tokens: Counts
    """(units, domains, 2) tokens of the kept texts."""

    def streams(self) -> list[Stream]:
        """List all streams, the empty ones too."""
        return [(rank, split) for rank in range(self.tokens.shape[1]) for split in (False, True)]

    def first_tokens(self) -> Counts:
        """Find (units, domains, 2): where in each stream a unit's tokens begin."""
        return np.cumsum(self.tokens, axis=0) - self.tokens

    def parts(self) -> Counts:
        """Number (units, domains + 1) the Parquet files of each domain; -1 where there is none."""
        has_rows = self.rows > 0
        return np.where(has_rows, np.cumsum(has_rows, axis=0) - 1, -1)


def tally(unit_rows: Sequence[Path], decisions: Decisions, domains: int) -> Tally:
    """Add up what was decided.

    Args:
        unit_rows: The Arrow file of every unit, in order.
        decisions: About the rows of these units.
        domains: The number of domains.
    """
    units = len(unit_rows)
    result = Tally(
        rows=np.zeros((units, domains + 1), np.int64),
        documents=np.zeros((units, domains, 2), np.int64),
        text_bytes=np.zeros((units, domains, 2), np.int64),
        tokens=np.zeros((units, domains, 2), np.int64),
    )
    for unit, path in enumerate(unit_rows):
        _add_unit(result, unit, read_rows(path), decisions)
    return result


def _add_unit(result: Tally, unit: int, rows: Any, decisions: Decisions) -> None:
    domains = result.tokens.shape[1]
    here = slice(int(decisions.starts[unit]), int(decisions.starts[unit + 1]))
    ranks = rows.column("domain").to_numpy().astype(np.int64)
    result.rows[unit] = np.bincount(np.where(ranks < 0, domains, ranks), minlength=domains + 1)
    kept = decisions.status()[here] == KEPT
    stream = (ranks * 2 + decisions.validation()[here])[kept]
    result.documents[unit] = np.bincount(stream, minlength=domains * 2).reshape(domains, 2)
    for name, sums in (("bytes", result.text_bytes), ("tokens", result.tokens)):
        values = rows.column(name).to_numpy()[kept].astype(np.int64)
        # np.bincount would add up in floating point.
        np.add.at(sums[unit].reshape(-1), stream, values)
