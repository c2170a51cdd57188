"""Bundles that follow each other, put into tasks of about as many rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mixscale.ingest.unit_rows import read_rows

_TASK_ROWS = 1 << 20
_SLICE_ROWS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class BundleRows:
    """The rows of some bundles that follow each other."""

    paths: tuple[Path, ...]
    """The Arrow file of each bundle."""
    first_row: int
    """Of the first of them, among the rows of all bundles."""

    def slices(
        self, columns: Sequence[str] | None = None, size: int = _SLICE_ROWS
    ) -> Iterator[tuple[int, int, pa.Table]]:
        """Yield the number of the bundle among these, the number of the first row, some rows.

        Args:
            columns: Those that are wanted; all when not given.
            size: The most rows at a time.
        """
        first = self.first_row
        for bundle, path in enumerate(self.paths):
            rows = read_rows(path)
            rows = rows if columns is None else rows.select(list(columns))
            for start in range(0, rows.num_rows, size):
                some: Any = rows.slice(start, size)
                yield bundle, first + start, some
            first += rows.num_rows


def bundle_rows(paths: Sequence[Path], rows: Sequence[int]) -> list[BundleRows]:
    """Put as many bundles together as have their first row among the same 2^20.

    Args:
        paths: The Arrow file of every bundle, in order.
        rows: How many rows each has.
    """
    starts = np.cumsum([0, *rows])
    firsts = np.flatnonzero(np.diff(starts[:-1] // _TASK_ROWS, prepend=-1))
    cuts = [*firsts.tolist(), len(paths)]
    return [
        BundleRows(paths=tuple(paths[first:last]), first_row=int(starts[first]))
        for first, last in itertools.pairwise(cuts)
    ]
