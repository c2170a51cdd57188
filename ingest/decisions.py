"""What became of the rows of all bundles: arrays on disk, in files of some rows each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.contracts.atomic import atomic_write

_DTYPES: dict[str, Any] = {"status": np.uint8, "copy_of": np.int64, "validation": np.bool_}


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
        return self._read("copy_of", first, last)

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
        """Keep what was decided about the rows of one file."""
        columns = {"status": status, "copy_of": copy_of, "validation": validation}
        for name, values in columns.items():
            with atomic_write(self._path(name, group), "wb") as stream:
                stream.write(np.ascontiguousarray(values, _DTYPES[name]).data)

    def _path(self, name: str, group: int) -> Path:
        return self.folder / f"{group}.{name}"

    def _read(self, name: str, first: int, last: int) -> NDArray[Any]:
        dtype = np.dtype(_DTYPES[name])
        found = [np.empty(0, dtype)]
        for group in range(first // self.group_rows, -(-last // self.group_rows)):
            start = max(first - group * self.group_rows, 0)
            stop = min(last - group * self.group_rows, self.group_rows)
            with self._path(name, group).open("rb") as stream:
                stream.seek(start * dtype.itemsize)
                found.append(np.fromfile(stream, dtype, stop - start))
        return np.concatenate(found)
