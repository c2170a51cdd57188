"""Records that every task of one list leaves for every task of the next: sorted, in parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.runtime.intermediate import intermediate_path

Records = NDArray[Any]
_OFFSET = np.dtype(np.int64)
_SHIFT = np.uint64(32)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One file for each writer, in which the records for each reader follow each other."""

    folder: Path
    writers: int
    readers: int
    dtype: np.dtype[Any]

    def path(self, writer: int) -> Path:
        """Name the file of a writer."""
        return self.folder / str(writer)

    def write(self, writer: int, records: Records, readers: NDArray[Any]) -> None:
        """Leave records.

        Args:
            writer: Number of the task that writes.
            records: (records,) of `dtype`, sorted by their reader.
            readers: (records,) the number of the task that gets each, increasing.
        """
        offsets = np.searchsorted(readers, np.arange(self.readers + 1))
        with intermediate_path(self.path(writer)) as path, path.open("wb") as stream:
            stream.write(offsets.astype(_OFFSET).data)
            stream.write(records.view(np.uint8).data)

    def read(self, reader: int) -> Records:
        """Gather what all writers have left for one reader, writer by writer."""
        found = [np.empty(0, self.dtype)]
        found += [self._read_from(writer, reader) for writer in range(self.writers)]
        return np.concatenate(found)

    def _read_from(self, writer: int, reader: int) -> Records:
        with self.path(writer).open("rb", buffering=0) as stream:
            stream.seek(reader * _OFFSET.itemsize)
            first, last = np.frombuffer(stream.read(2 * _OFFSET.itemsize), _OFFSET).tolist()
            start = (self.readers + 1) * _OFFSET.itemsize + first * self.dtype.itemsize
            stream.seek(start)
            return np.fromfile(stream, self.dtype, last - first)


def part_of_hash(hashes: NDArray[np.uint64], parts: int) -> NDArray[np.uint64]:
    """Number, (hashes,), in which of equal parts of all 64-bit hashes each lies; it keeps order."""
    return ((hashes >> _SHIFT) * np.uint64(parts)) >> _SHIFT
