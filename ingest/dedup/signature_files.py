"""The signatures of rows anywhere in the corpus, found in the files of their bundles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixscale.ingest.arrow_columns import write_columns
from mixscale.ingest.corpus import Near
from mixscale.ingest.dedup.groups import Source
from mixscale.ingest.dedup.minhash import DTYPE, Signatures, read_signatures

Ints = NDArray[np.int64]


_FEW = 64
"""Mapping a file takes as long as reading so many signatures one by one."""


@dataclass(frozen=True, kw_only=True)
class SignatureFiles:
    """First row and file of every bundle; on disk, because every task needs all of it."""

    path: Path

    def write(self, sources: Sequence[Source]) -> None:
        """Save where the signatures of all bundles are."""
        starts = np.cumsum([0, *(source.rows for source in sources)])[:-1]
        files = [str(source.signatures_path) for source in sources]
        write_columns(self.path, {"start": starts}, {"file": files})

    def read(self, rows: Ints, places: Ints, near: Near) -> Signatures:
        """Gather the signatures of some rows, (rows, permutations).

        Args:
            rows: (rows,) among the rows of all bundles.
            places: (rows,) of the signature among those of its bundle.
            near: The length of the signatures.
        """
        starts, files = self._read()
        bundles = np.searchsorted(starts, rows, side="right") - 1
        found = np.empty((len(rows), near.permutations), DTYPE)
        order = np.argsort(bundles, kind="stable")
        firsts = np.flatnonzero(np.diff(bundles[order], prepend=-1))
        for some in np.split(order, firsts[1:]) if len(order) else []:
            file: str = files[int(bundles[some[0]])].as_py()
            if len(some) > _FEW:
                found[some] = read_signatures(Path(file), near)[places[some]]
            else:
                _read_few(file, places, some, found)
        return found

    def _read(self) -> tuple[Ints, pa.Array]:
        """Map the file into memory: of many bundles only some pages are read."""
        with pa.memory_map(str(self.path)) as source:
            batch = pa.ipc.open_file(source).get_batch(0)
        return batch.column("start").to_numpy(), batch.column("file")


def _read_few(file: str, places: Ints, some: Ints, found: Signatures) -> None:
    """Read the signatures at `places[some]` of a file into `found[some]`."""
    size = found.shape[1] * DTYPE.itemsize
    descriptor = os.open(file, os.O_RDONLY)
    try:
        for row, place in zip(some.tolist(), places[some].tolist(), strict=True):
            if os.preadv(descriptor, [found[row].data], place * size) != size:
                raise OSError(f"{file}: ends before signature {place}")
    finally:
        os.close(descriptor)
