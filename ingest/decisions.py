"""What became of the rows of all bundles: arrays on disk, in files of some rows each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.contracts.atomic import atomic_write

_DTYPES: dict[str, Any] = {"status": np.uint8, "validation": np.bool_}
_COPY = np.dtype([("row", "<i8"), ("winner", "<i8")])
"""A row that goes, and the row that stays in its place: few rows have one."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What became of all rows, the bundles one after the other; `first` and `last` are rows."""

    folder: Path
    group_rows: int
    """Rows in each file but the last."""

    def status(self, first: int, last: int) -> NDArray[np.uint8]:
        """Read (last - first,) numbers of `unit_rows.STATUS`."""
        return self._read("status", first, last)

    def copy_of(self, first: int, last: int) -> NDArray[np.int64]:
        """Read the row with the same text, or nearly the same, that stays; or -1."""
        found = np.full(last - first, -1, np.int64)
        for group in self._groups(first, last):
            path = self._path("copies", group)
            if path.stat().st_size == 0:
                continue
            copies = np.memmap(path, _COPY, "r")
            copies = copies[slice(*np.searchsorted(copies["row"], [first, last]))]
            found[copies["row"] - first] = copies["winner"]
        return found

    def validation(self, first: int, last: int) -> NDArray[np.bool_]:
        """Read whether a kept row is held out."""
        return self._read("validation", first, last)

    def write(
        self,
        group: int,
        status: NDArray[np.uint8],
        copy_of: NDArray[np.int64],
        validation: NDArray[np.bool_],
    ) -> None:
        """Keep what was decided about the rows of one file.

        Args:
            group: Number of the file.
            status: (rows,) of `unit_rows.STATUS`.
            copy_of: (rows,) the row that stays in the place of each, or -1.
            validation: (rows,) whether they are held out.
        """
        places = np.flatnonzero(copy_of >= 0)
        copies = np.empty(len(places), _COPY)
        copies["row"], copies["winner"] = places + group * self.group_rows, copy_of[places]
        columns = {
            "status": status.astype(_DTYPES["status"], copy=False),
            "copies": copies.view(np.uint8),
            "validation": validation,
        }
        for name, values in columns.items():
            with atomic_write(self._path(name, group), "wb") as stream:
                stream.write(np.ascontiguousarray(values).data)

    def _groups(self, first: int, last: int) -> range:
        return range(first // self.group_rows, -(-last // self.group_rows))

    def _path(self, name: str, group: int) -> Path:
        return self.folder / f"{group}.{name}"

    def _read(self, name: str, first: int, last: int) -> NDArray[Any]:
        dtype = np.dtype(_DTYPES[name])
        found = [np.empty(0, dtype)]
        for group in self._groups(first, last):
            start = max(first - group * self.group_rows, 0)
            stop = min(last - group * self.group_rows, self.group_rows)
            with self._path(name, group).open("rb") as stream:
                stream.seek(start * dtype.itemsize)
                found.append(np.fromfile(stream, dtype, stop - start))
        return np.concatenate(found)
