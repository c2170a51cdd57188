"""The tokens and signatures of a bundle's texts that stay, once all decisions are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixscale.contracts.atomic import atomic_write
from mixscale.ingest.corpus import Near
from mixscale.ingest.dedup.minhash import read_signatures
from mixscale.ingest.runtime.intermediate import intermediate_path
from mixscale.ingest.stages.write_task import WriteTask
from mixscale.ingest.unit_rows import KEPT, NEAR_DUPLICATE

_SLICE_ROWS = 1 << 15
_SLICE_TOKENS = 1 << 22


def write_tokens(task: WriteTask, rows: pa.Table) -> None:
    """Write the token files of those streams that do not get all of the bundle's tokens."""
    if not task.token_files:
        return
    with ExitStack() as stack:
        outputs = {
            stream: stack.enter_context(stack.enter_context(intermediate_path(path)).open("wb"))
            for stream, path in task.token_files.items()
        }
        for chosen, ids, counts in _token_slices(task, rows):
            for stream, output in outputs.items():
                mask = np.repeat(np.asarray(chosen == stream[0] * 2 + stream[1]), counts)
                output.write(ids[mask].data)


def write_signatures(task: WriteTask, rows: pa.Table, near: Near) -> None:
    """Write the signatures of the texts that no exact copy has taken out."""
    signed = np.flatnonzero(rows.column("status").to_numpy() == KEPT)
    status = task.decisions.status(task.first_row, task.first_row + task.rows)[signed]
    chosen = np.flatnonzero((status == KEPT) | (status == NEAR_DUPLICATE))
    signatures = read_signatures(task.read.signatures_path, near)
    with atomic_write(task.signatures, "wb") as output:
        for start in range(0, len(chosen), _SLICE_ROWS):
            output.write(signatures[chosen[start : start + _SLICE_ROWS]].data)


def _token_slices(
    task: WriteTask, rows: pa.Table
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]]:
    """Yield (texts,) streams, ids and (texts,) counts of some texts at a time."""
    here = task.first_row, task.first_row + task.rows
    has_tokens = rows.column("status").to_numpy() == KEPT
    counts = rows.column("tokens").to_numpy()[has_tokens].astype(np.int64)
    kept = task.decisions.status(*here)[has_tokens] == KEPT
    validation = task.decisions.validation(*here)[has_tokens]
    ranks = rows.column("domain").to_numpy()[has_tokens].astype(np.int64)
    streams = np.where(kept, ranks * 2 + validation, -1)
    ends = np.cumsum(counts)
    ids = _map_tokens(task.read.tokens_path, task.read.encoder.dtype)
    start = 0
    while start < len(counts):
        begin = int(ends[start] - counts[start])
        stop = max(start + 1, int(np.searchsorted(ends, begin + _SLICE_TOKENS, side="right")))
        texts = slice(start, stop)
        yield streams[texts], ids[begin : int(ends[stop - 1])], counts[texts]
        start = stop


def _map_tokens(path: Path, dtype: str) -> NDArray[Any]:
    """Map the tokens of a bundle into memory."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")
