"""What became of the records of each domain, said before a build refuses or warns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixscale.contracts.atomic import atomic_path
from mixscale.ingest.corpus import UNROUTED
from mixscale.ingest.select.meta_json import LOSS
from mixscale.ingest.stages.unit_places import UnitPlaces
from mixscale.ingest.unit_rows import MALFORMED, STATUS, read_rows
from mixscale.shards.sql.documents import DOCUMENTS, REJECTED

pc: Any = pyarrow.compute  # makes its functions at run time, where no type checker sees them
_REJECTED_STATUS = [STATUS.index(name) for name in REJECTED]
_MOST_REASONS = 3
_MOST_DIFFERENT = 10_000
_NUMBERS = re.compile(r"\d+(?= characters)|(?<=column )\d+|(?<=byte )\d+|(?<=byte 0x)\w+")
_LARGE_PART = 0.5
_LARGE_PART_MALFORMED = 0.1
_SLICE_ROWS = 1 << 12


@dataclass(frozen=True, kw_only=True)
class ReadUnits:
    """The records of a build as they were read, before they are compared."""

    rows: Sequence[Path]
    """The Arrow file of every bundle, in order."""
    places: UnitPlaces
    """Where their rows come from."""
    domains: Sequence[str]

    def counts(self) -> NDArray[np.int64]:
        """Count (domains + 1, statuses) records; the last row is of those without a domain."""
        shape = len(self.domains) + 1, len(STATUS)
        counts = np.zeros(shape, np.int64)
        for path in self.rows:
            rows = read_rows(path)
            rank = rows.column("domain").to_numpy().astype(np.int64)
            rank[rank < 0] = len(self.domains)
            place = rank * len(STATUS) + rows.column("status").to_numpy()
            counts += np.bincount(place, minlength=counts.size).reshape(shape)
        return counts

    def reasons(self, rank: int) -> list[str]:
        """Say why records of a domain were rejected, the commonest reasons first, as lines."""
        found: Counter[tuple[int, str]] = Counter()
        places: dict[tuple[int, str], str] = {}
        for status, detail, place in self._rejected(rank):
            reason = status, _NUMBERS.sub("…", detail or "")
            if reason in found or len(found) < _MOST_DIFFERENT:
                found[reason] += 1
                places.setdefault(reason, place)
        lines = [
            f"{count:,} {STATUS[status]}: {detail} (first: {places[status, detail]})"
            for (status, detail), count in found.most_common(_MOST_REASONS)
        ]
        others = sum(found.values()) - sum(count for _, count in found.most_common(_MOST_REASONS))
        return [*lines, f"{others:,} for other reasons"] if others else lines

    def _rejected(self, rank: int) -> Iterator[tuple[int, str | None, str]]:
        wanted = rank if rank < len(self.domains) else -1
        for first, rows in self._slices():
            status = rows.column("status").to_numpy()
            is_here = rows.column("domain").to_numpy() == wanted
            found = np.flatnonzero(is_here & np.isin(status, _REJECTED_STATUS))
            if not len(found):
                continue
            files, numbers = self.places.find(found + first)
            details = rows.column("detail").take(pa.array(found))
            for row, detail, file, number in zip(
                found.tolist(),
                details.to_pylist(),
                files.to_pylist(),
                numbers.tolist(),
                strict=True,
            ):
                yield int(status[row]), detail, f"{file}:{number}"

    def _slices(self) -> Iterator[tuple[int, pa.Table]]:
        """Yield some rows at a time, with the number of the first among those of all bundles."""
        first = 0
        for path in self.rows:
            rows = read_rows(path)
            for start in range(0, rows.num_rows, _SLICE_ROWS):
                yield first + start, rows.slice(start, _SLICE_ROWS)
            first += rows.num_rows

    def losses(self) -> int:
        """Count the records of whose meta something could not be stored."""
        details = (read_rows(path).column("detail") for path in self.rows)
        return sum(
            pc.sum(pc.match_substring(detail, LOSS)).as_py() or 0
            for detail in details
            if detail.null_count < len(detail)
        )

    def warnings(self) -> list[str]:
        """Say which domains lost a large part of their records, and why."""
        lines: list[str] = []
        for rank, counts in enumerate(self.counts().tolist()):
            total = sum(counts)
            rejected = sum(counts[status] for status in _REJECTED_STATUS)
            is_large = rejected >= _LARGE_PART * total
            if total and (is_large or counts[MALFORMED] >= _LARGE_PART_MALFORMED * total):
                name = (*self.domains, UNROUTED)[rank]
                lines.append(f"warning: {name}: {rejected:,} of {total:,} records were left out:")
                lines += [f"  {reason}" for reason in self.reasons(rank)]
        if losses := self.losses():
            lines.append(
                f"warning: {losses:,} records are kept with a part of their meta missing; "
                f"see SELECT * FROM documents WHERE detail LIKE '%{LOSS.rstrip(': ')}%'"
            )
        return lines

    def too_malformed(self, most: float) -> list[str]:
        """List the domains of whose records more than this share is malformed, and why."""
        lines: list[str] = []
        for rank, counts in enumerate(self.counts().tolist()):
            total = sum(counts)
            if counts[MALFORMED] > most * total:
                share = f"{counts[MALFORMED] / total:.2%}"
                name = (*self.domains, UNROUTED)[rank]
                lines.append(f"  {name}: {counts[MALFORMED]:,} of {total:,} records ({share})")
                lines += [f"    {reason}" for reason in self.reasons(rank)]
        return lines

    def write_documents(self, path: Path) -> None:
        """Write what is known of all records as far as `documents` will have it."""
        names = pa.array([*self.domains, UNROUTED], pa.string())
        with (
            atomic_path(path) as temporary,
            pq.ParquetWriter(temporary, _NULLABLE, compression="zstd") as writer,
        ):
            for first, rows in self._slices():
                files, numbers = self.places.find(np.arange(first, first + rows.num_rows))
                writer.write_table(_documents(rows, names, files, numbers))


_NULLABLE = pa.schema([field.with_nullable(True) for field in DOCUMENTS])


def _documents(
    rows: pa.Table, names: pa.Array, files: pa.Array, numbers: NDArray[np.int64]
) -> pa.Table:
    rank = rows.column("domain").to_numpy().astype(np.int64)
    rank[rank < 0] = len(names) - 1
    known: dict[str, Any] = {
        "domain": names.take(pa.array(rank)),
        "source_file": files,
        "source_row": numbers.astype(np.uint64),
        "status": pa.array(STATUS, pa.string()).take(pa.array(rows.column("status").to_numpy())),
    }
    columns: list[Any] = []
    for field in _NULLABLE:
        if field.name in known:
            columns.append(pa.array(known[field.name], field.type))
        elif field.name in rows.column_names:
            columns.append(rows.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(rows.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=_NULLABLE)
