"""What became of the rows of a group, once all copies are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.decisions import Decisions
from mixscale.ingest.dedup.chains import ChainTask
from mixscale.ingest.dedup.exact import ExactStage, Ints, read_exact
from mixscale.ingest.dedup.exchange import Records
from mixscale.ingest.dedup.groups import Group
from mixscale.ingest.runtime.intermediate import intermediate_path
from mixscale.ingest.select.validation import lowest_of_domains, share_limit
from mixscale.ingest.unit_rows import KEPT, NEAR_DUPLICATE

_LOWEST = np.dtype([("domain", "<i2"), ("low", "<u8")])


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """Which hashes of texts are held out."""

    share: float | None
    """All below this share of the hashes, or nothing when they are listed."""
    path: Path
    """The list."""

    def write(self, hashes: NDArray[np.uint64]) -> None:
        """Write the list."""
        with intermediate_path(self.path) as path:
            hashes.tofile(path)

    def holds(self, low: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which hashes are held out, (texts,)."""
        if self.share is not None:
            return low < share_limit(self.share)
        return np.isin(low, np.fromfile(self.path, np.uint64))


@dataclass(frozen=True, kw_only=True)
class FinishTask:
    """All that is needed to tell what became of the rows of a group."""

    group: Group
    exact: ExactStage | None
    """Nothing when no copies were looked for."""
    chain: ChainTask | None
    """Nothing when no near duplicates were looked for."""
    holdout: Holdout
    decisions: Decisions
    documents: int
    """Documents of each domain held out, when they are counted."""
    with_files: frozenset[int]
    """Domains that have files for validation: no other texts of theirs are held out."""

    def may_hold_out(self, domains: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell the rows whose hash decides whether they are held out, (rows,)."""
        has_files = np.isin(domains, [*self.with_files])
        return ~(has_files | self.group.of_validation_files())

    def copies(self) -> tuple[NDArray[np.uint8], Ints]:
        """Read (rows,) statuses, and the row that stays in the place of each, or -1."""
        status, copy_of = read_exact(self.exact, self.group)
        if self.chain is not None:
            copy_of = np.fromfile(self.chain.copy_of, np.int64)
            status[(status == KEPT) & (copy_of >= 0)] = NEAR_DUPLICATE
        return status, copy_of


def find_lowest(task: FinishTask) -> Path:
    """Write the lowest hashes of the texts of each domain that stay in a group."""
    status, _ = task.copies()
    low, domain = task.group.read("low", "domain")
    kept = (status == KEPT) & task.may_hold_out(domain)
    found = _lowest(low[kept], domain[kept], task.documents)
    path = task.holdout.path.with_name(f"lowest-{task.group.number}")
    with intermediate_path(path) as temporary:
        found.tofile(temporary)
    return path


def lowest_hashes(files: Iterable[Path], documents: int) -> NDArray[np.uint64]:
    """Take the lowest hashes of each domain among those of all groups."""
    lowest = np.empty(0, _LOWEST)
    for path in files:
        both = np.concatenate([lowest, np.fromfile(path, _LOWEST)])
        lowest = _lowest(both["low"], both["domain"], documents)
    return np.unique(lowest["low"])


def _lowest(low: NDArray[np.uint64], domains: NDArray[Any], documents: int) -> Records:
    lowest = lowest_of_domains(low, domains, documents)
    found = np.empty(sum(map(len, lowest.values())), _LOWEST)
    sizes = np.array([len(hashes) for hashes in lowest.values()], np.int64)
    found["domain"] = np.repeat(np.array([*lowest], np.int16), sizes)
    found["low"] = np.concatenate([*lowest.values(), np.empty(0, np.uint64)])
    return found


def finish(task: FinishTask) -> None:
    """Write what became of the rows of a group."""
    status, copy_of = task.copies()
    low, domain = task.group.read("low", "domain")
    held_out = task.holdout.holds(low) & task.may_hold_out(domain)
    validation = (held_out | task.group.of_validation_files()) & (status == KEPT)
    task.decisions.write(task.group.number, status, copy_of, validation)
