"""What became of the rows of all units: arrays on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What became of all rows: arrays of (rows,), the units one after the other."""

    folder: Path
    starts: NDArray[np.int64]
    """(units + 1,) the first row of every unit, then the number of rows."""

    @property
    def rows(self) -> int:
        """Rows of all units together."""
        return int(self.starts[-1])

    def status(self) -> NDArray[np.uint8]:
        """(rows,) numbers of `unit_rows.STATUS`; a row without text has that of its unit."""
        return self._map("status", np.uint8)

    def copy_of(self) -> NDArray[np.int64]:
        """The row with the same text, or nearly the same, that stays; or -1."""
        return self._map("copy_of", np.int64)

    def validation(self) -> NDArray[np.bool_]:
        """Whether a kept row is held out."""
        return self._map("validation", np.bool_)

    def _map(self, name: str, dtype: Any) -> NDArray[Any]:
        if self.rows == 0:
            return np.empty(0, dtype)
        return np.memmap(self.folder / name, dtype, mode="r+", shape=(self.rows,))

    def unit(self, number: int) -> slice:
        """Return which rows are those of a unit."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    def flush(self) -> None:
        """Write out what is mapped: other machines read it through a network file system."""
        for name in ("status", "copy_of", "validation"):
            with (self.folder / name).open("rb") as stream:
                os.fsync(stream.fileno())

    def reserve(self) -> None:
        """Make the files at full size: a full disk kills a process that writes to a mapped one."""
        for name, width in (("status", 1), ("copy_of", 8), ("validation", 1)):
            with (self.folder / name).open("wb") as stream:
                if self.rows:
                    os.posix_fallocate(stream.fileno(), 0, self.rows * width)
