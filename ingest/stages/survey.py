"""What became of the records as they were read, added up before they are compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from mixscale.ingest.runtime.runner import Runner
from mixscale.ingest.select.meta_json import LOSS
from mixscale.ingest.stages.row_tasks import BundleRows, bundle_rows
from mixscale.ingest.unit_rows import MALFORMED, STATUS
from mixscale.shards.sql.documents import REJECTED

pc: Any = pyarrow.compute  # makes its functions at run time, where no type checker sees them
REJECTED_STATUS = [STATUS.index(name) for name in REJECTED]
MOST_LISTED = 10
"""So many malformed records are kept one by one."""
_MOST_REASONS = 100
_MOST_DIFFERENT = 10_000
_NUMBERS = re.compile(r"\d+(?= characters)|(?<=column )\d+|(?<=byte )\d+|(?<=byte 0x)\w+")

Reason = tuple[int, int, str]
"""Number of the domain, of the status, and why, without the numbers that differ by the record."""


@dataclass(kw_only=True)
class Survey:
    """Sums over records."""

    counts: NDArray[np.int64]
    """(domains + 1, statuses) records; the last row is of those without a domain."""
    losses: int = 0
    """Records of whose meta something could not be stored."""
    reasons: Counter[Reason] = field(default_factory=Counter)
    """Rejected records by reason, as far as the commonest of each domain go."""
    first_rows: dict[Reason, int] = field(default_factory=dict)
    """The first row of each reason."""
    malformed: list[tuple[int, str]] = field(default_factory=list)
    """Row and detail of the first malformed records."""

    def add(self, later: Survey) -> None:
        """Take in the sums over later rows."""
        self.counts += later.counts
        self.losses += later.losses
        for reason, count in later.reasons.items():
            self.add_reason(reason, count, later.first_rows[reason])
        self.malformed = (self.malformed + later.malformed)[:MOST_LISTED]

    def add_reason(self, reason: Reason, count: int, first_row: int) -> None:
        """Count records of one reason, unless there are too many different ones."""
        if reason in self.reasons or len(self.reasons) < _MOST_DIFFERENT:
            self.reasons[reason] += count
            self.first_rows[reason] = min(first_row, self.first_rows.get(reason, first_row))

    def shortened(self) -> Survey:
        """Keep the commonest reasons of each domain only."""
        kept: Counter[Reason] = Counter()
        seen: Counter[int] = Counter()
        for reason, count in self.reasons.most_common():
            seen[reason[0]] += 1
            if seen[reason[0]] <= _MOST_REASONS:
                kept[reason] = count
        self.reasons = kept
        self.first_rows = {reason: self.first_rows[reason] for reason in kept}
        return self


@dataclass(frozen=True, kw_only=True)
class SurveyTask:
    """Some bundles that follow each other."""

    rows: BundleRows
    domains: int
    """How many there are."""


def survey_rows(
    rows_paths: Sequence[Path], rows: Sequence[int], domains: int, run: Runner
) -> Survey:
    """Add up what became of all records as they were read.

    Args:
        rows_paths: The Arrow file of every bundle, in order.
        rows: How many rows each has.
        domains: The number of domains.
        run: Runs the tasks.
    """
    tasks = [SurveyTask(rows=some, domains=domains) for some in bundle_rows(rows_paths, rows)]
    total = _nothing(domains)
    for found in run(survey_bundles, tasks, lambda *_: None):
        total.add(found)
    return total


def survey_bundles(task: SurveyTask) -> Survey:
    """Add up what became of the records of some bundles."""
    total = _nothing(task.domains)
    for _, first, rows in task.rows.slices(["domain", "status", "detail"]):
        ranks = rows.column("domain").to_numpy().astype(np.int64)
        ranks[ranks < 0] = task.domains
        status = rows.column("status").to_numpy().astype(np.int64)
        places = np.bincount(ranks * len(STATUS) + status, minlength=total.counts.size)
        total.counts += places.reshape(total.counts.shape)
        detail = rows.column("detail")
        if detail.null_count < len(detail):
            total.losses += pc.sum(pc.match_substring(detail, LOSS)).as_py() or 0
        _add_rejected(total, first, ranks, status, detail)
    return total.shortened()


def _nothing(domains: int) -> Survey:
    return Survey(counts=np.zeros((domains + 1, len(STATUS)), np.int64))


def _add_rejected(
    total: Survey, first: int, ranks: NDArray[np.int64], status: NDArray[np.int64], detail: Any
) -> None:
    rows = np.flatnonzero(np.isin(status, REJECTED_STATUS))
    if not len(rows):
        return
    details = detail.take(pa.array(rows))
    malformed = np.flatnonzero(status[rows] == MALFORMED)[: MOST_LISTED - len(total.malformed)]
    total.malformed += [
        (int(rows[place]) + first, details[int(place)].as_py() or "")
        for place in malformed.tolist()
    ]
    rejected = pa.table(
        {"rank": ranks[rows], "status": status[rows], "detail": details, "row": rows + first}
    )
    groups = rejected.group_by(["rank", "status", "detail"], use_threads=False)
    for found in groups.aggregate([("row", "count"), ("row", "min")]).to_pylist():
        why = _NUMBERS.sub("…", found["detail"] or "")
        reason = found["rank"], found["status"], why
        total.add_reason(reason, found["row_count"], found["row_min"])
