"""Rows that one task looks at: so many in their order, whatever bundles they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.unit_rows import KEPT, read_rows

GROUP_ROWS = 1 << 20
"""Rows that one task holds; bounds the memory, whatever the size of the corpus."""
_FEW_ROWS = 1 << 17
_MANY_GROUPS = 8
_TOO_MANY_GROUPS = 1 << 13
"""What tasks leave for each other, the square of so many parts, costs as much as the rows."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The results of reading one bundle, as far as comparing needs them."""

    rows_path: Path
    """An Arrow file of `unit_rows.ROWS`."""
    rows: int
    is_validation: bool = False
    """Whether its texts are for validation, whatever their hashes."""
    signatures_path: Path | None = None
    """The signatures of the rows with the status `kept`, when there are any."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows `start` to `stop` of a bundle."""

    source: Source
    start: int
    stop: int

    def read(self, *names: str) -> list[NDArray[Any]]:
        """Read some columns, each (rows,)."""
        table = read_rows(self.source.rows_path).slice(self.start, self.stop - self.start)
        return [table.column(name).to_numpy() for name in names]

    def signed_before(self) -> int:
        """Count the signatures of the bundle's rows before these."""
        if self.start == 0:
            return 0
        status = read_rows(self.source.rows_path).column("status").slice(0, self.start)
        return int(np.count_nonzero(status.to_numpy() == KEPT))


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some of all rows, in order."""

    number: int
    first: int
    """Its first row among the rows of all bundles."""
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """How many rows."""
        return sum(part.stop - part.start for part in self.parts)

    def read(self, *names: str) -> list[NDArray[Any]]:
        """Read some columns, each (rows,)."""
        found = [part.read(*names) for part in self.parts]
        return [np.concatenate(columns) for columns in zip(*found, strict=True)]

    def of_validation_files(self) -> NDArray[np.bool_]:
        """Tell the rows of files that are for validation, (rows,)."""
        sizes = [part.stop - part.start for part in self.parts]
        return np.repeat([part.source.is_validation for part in self.parts], sizes)


def rows_of_group(rows: int) -> int:
    """Choose how many rows a task holds, so that there are tasks for many workers.

    What is decided does not depend on it.

    Args:
        rows: All of them.
    """
    size = GROUP_ROWS
    if rows > size * _TOO_MANY_GROUPS:
        return 2 * size
    while size > _FEW_ROWS and rows < size * _MANY_GROUPS:
        size //= 2
    return size


def group_rows(sources: Sequence[Source], size: int) -> list[Group]:
    """Cut all rows into groups of `size` rows; the last one may have fewer."""
    groups: list[Group] = []
    parts: list[Part] = []
    room = size
    for source in sources:
        start = 0
        while start < source.rows:
            stop = min(start + room, source.rows)
            parts.append(Part(source=source, start=start, stop=stop))
            room -= stop - start
            start = stop
            if room == 0:
                groups.append(_group(len(groups), size, parts))
                parts, room = [], size
    return [*groups, _group(len(groups), size, parts)] if parts else groups


def _group(number: int, size: int, parts: Sequence[Part]) -> Group:
    return Group(number=number, first=number * size, parts=tuple(parts))
