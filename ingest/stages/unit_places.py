"""Where the rows of every unit come from: source file and row."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixscale.ingest.runtime.intermediate import intermediate_path
from mixscale.ingest.stages.read import ReadTask, UnitSummary


def first_rows(tasks: Sequence[ReadTask], summaries: Sequence[UnitSummary]) -> list[int]:
    """Number in its file, from 1, the first row of every unit."""
    numbers: list[int] = []
    next_row: dict[str, int] = {}
    for task, summary in zip(tasks, summaries, strict=True):
        row = next_row.get(task.unit.file.address, 1)
        numbers.append(row)
        next_row[task.unit.file.address] = row + summary.rows
    return numbers


@dataclass(frozen=True, kw_only=True)
class UnitPlaces:
    """Source file and first row of every unit; on disk, because every task needs all of it."""

    path: Path

    def write(self, files: Sequence[str], rows: Sequence[int]) -> None:
        """Save by unit the source file and the number of its first row."""
        with intermediate_path(self.path) as temporary:
            places = {"files": list(files), "first_rows": list(rows)}
            temporary.write_text(json.dumps(places), encoding="utf-8")

    def read(self) -> tuple[pa.Array, NDArray[np.int64]]:
        """Load (units,) source files and (units,) numbers of their first rows."""
        return _read_places(self.path, self.path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _read_places(path: Path, _version: int) -> tuple[pa.Array, NDArray[np.int64]]:
    values = json.loads(path.read_text(encoding="utf-8"))
    return pa.array(values["files"], pa.string()), np.asarray(values["first_rows"], np.int64)
