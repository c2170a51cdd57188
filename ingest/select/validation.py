"""Which of the kept documents are held out for validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.decisions import Decisions
from mixscale.ingest.unit_rows import KEPT, read_columns

_HASHES = 1 << 64


def choose_validation(
    unit_rows: Sequence[Path], decisions: Decisions, share: float | None, documents: int
) -> None:
    """Choose by the hash of the text alone, so that equal texts are always in the same split.

    Args:
        unit_rows: The Arrow file of every unit, in order.
        decisions: About all rows; the choice is added to them.
        share: Share of the texts held out, or nothing when `documents` counts.
        documents: Documents of each domain held out.
    """
    validation, status = decisions.validation(), decisions.status()
    limit = np.uint64(min(int((share or 0) * _HASHES), _HASHES - 1))
    lowest = None if share is not None else _lowest_hashes(unit_rows, decisions, documents)
    for unit, path in enumerate(unit_rows):
        (low,) = read_columns(path, "low")
        chosen = low < limit if lowest is None else np.isin(low, lowest)
        rows = decisions.unit(unit)
        validation[rows] = chosen & (status[rows] == KEPT)


def _lowest_hashes(
    unit_rows: Sequence[Path], decisions: Decisions, documents: int
) -> NDArray[np.uint64]:
    """Take the lowest hashes of texts, so many for each domain."""
    lowest: dict[int, NDArray[np.uint64]] = {}
    status = decisions.status()
    for unit, path in enumerate(unit_rows):
        low, rank = read_columns(path, "low", "domain")
        kept = status[decisions.unit(unit)] == KEPT
        for domain in np.unique(rank[kept]).tolist():
            found = low[kept & (rank == domain)]
            known = lowest.get(domain, np.empty(0, np.uint64))
            lowest[domain] = np.unique(np.concatenate([known, found]))[:documents]
    return np.concatenate([*lowest.values(), np.empty(0, np.uint64)])
