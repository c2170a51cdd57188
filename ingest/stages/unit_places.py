"""Where the rows of all units come from: source file and row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixscale.ingest.arrow_columns import write_columns
from mixscale.ingest.stages.read import BundleSummary, ReadTask

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class UnitPlaces:
    """Source file and first rows of every unit; on disk, because every task needs all of it."""

    path: Path

    def write(self, tasks: Sequence[ReadTask], summaries: Sequence[BundleSummary]) -> None:
        """Save for every unit its source file and the numbers of its first row."""
        units = [unit for task in tasks for unit in task.units]
        rows = [count for summary in summaries for count in summary.unit_rows]
        in_file: list[int] = []
        next_row: dict[str, int] = {}
        for unit, count in zip(units, rows, strict=True):
            in_file.append(next_row.get(unit.file.address, 1))
            next_row[unit.file.address] = in_file[-1] + count
        starts = np.cumsum([0, *rows])[:-1]
        write_columns(
            self.path,
            {"start": starts, "in_file": np.array(in_file, np.int64)},
            {"file": [unit.file.name for unit in units]},
        )

    def find(self, rows: Ints) -> tuple[pa.Array, Ints]:
        """Find the source files and, from 1, the numbers in them of some rows.

        Args:
            rows: (rows,) among the rows of all units.
        """
        starts, in_file, files = self._read()
        # Of units that start at the same row the last one is not empty.
        units = np.searchsorted(starts, rows, side="right") - 1
        names = files.take(pa.array(units)).cast(pa.string())
        return names, rows - starts[units] + in_file[units]

    def _read(self) -> tuple[Ints, Ints, pa.Array]:
        """Map the file into memory: of a million units only some pages are read."""
        with pa.memory_map(str(self.path)) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
        starts, in_file = (batch.column(name).to_numpy() for name in ("start", "in_file"))
        return starts, in_file, batch.column("file")
