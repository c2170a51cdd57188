"""What became of the records of each domain, said before a build refuses or warns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.ingest.corpus import UNROUTED
from mixscale.ingest.select.meta_json import LOSS
from mixscale.ingest.stages.survey import REJECTED_STATUS, Survey
from mixscale.ingest.stages.unit_places import UnitPlaces
from mixscale.ingest.unit_rows import MALFORMED, STATUS

_MOST_REASONS = 3
_LARGE_PART = 0.5
_LARGE_PART_MALFORMED = 0.1


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """The records of a build as they were read, before they are compared."""

    survey: Survey
    places: UnitPlaces
    """Where their rows come from."""
    domains: Sequence[str]

    def reasons(self, rank: int) -> list[str]:
        """Say why records of a domain were rejected, the commonest reasons first, as lines."""
        survey = self.survey
        found = [(reason, n) for reason, n in survey.reasons.most_common() if reason[0] == rank]
        shown = found[:_MOST_REASONS]
        lines = [
            f"{count:,} {STATUS[reason[1]]}: {reason[2]} "
            f"(first: {self._place(survey.first_rows[reason])})"
            for reason, count in shown
        ]
        others = self._rejected(rank) - sum(count for _, count in shown)
        return [*lines, f"{others:,} for other reasons"] if others else lines

    def _place(self, row: int) -> str:
        files, numbers = self.places.find(np.array([row]))
        return f"{files[0].as_py()}:{int(numbers[0])}"

    def _rejected(self, rank: int) -> int:
        return int(self.survey.counts[rank, REJECTED_STATUS].sum())

    def _by_domain(self) -> list[tuple[int, str, int, int]]:
        """List number, name, records and malformed records of every domain, then of none."""
        names = (*self.domains, UNROUTED)
        counts: Any = self.survey.counts.tolist()
        return [(rank, names[rank], sum(c), c[MALFORMED]) for rank, c in enumerate(counts)]

    def warnings(self) -> list[str]:
        """Say which domains lost a large part of their records, and why."""
        lines: list[str] = []
        for rank, name, total, malformed in self._by_domain():
            rejected = self._rejected(rank)
            is_large = rejected >= _LARGE_PART * total
            if total and (is_large or malformed >= _LARGE_PART_MALFORMED * total):
                lines.append(f"warning: {name}: {rejected:,} of {total:,} records were left out:")
                lines += [f"  {reason}" for reason in self.reasons(rank)]
        if losses := self.survey.losses:
            lines.append(
                f"warning: {losses:,} records are kept with a part of their meta missing; "
                f"see SELECT * FROM documents WHERE detail LIKE '%{LOSS.rstrip(': ')}%'"
            )
        return lines

    def too_malformed(self, most: float) -> list[str]:
        """List the domains of whose records more than this share is malformed, and why."""
        lines: list[str] = []
        for rank, name, total, malformed in self._by_domain():
            if malformed > most * total:
                share = f"{malformed / total:.2%}"
                lines.append(f"  {name}: {malformed:,} of {total:,} records ({share})")
                lines += [f"    {reason}" for reason in self.reasons(rank)]
        return lines

    def malformed(self) -> tuple[int, list[str]]:
        """Count all malformed records, and say where the first ones are and why."""
        rows = np.array([row for row, _ in self.survey.malformed], np.int64)
        files, numbers = self.places.find(rows)
        places = zip(files.to_pylist(), numbers.tolist(), self.survey.malformed, strict=True)
        lines = [f"{file}:{number}: {detail}" for file, number, (_, detail) in places]
        return int(self.survey.counts[:, MALFORMED].sum()), lines
