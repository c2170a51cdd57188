"""One unit's rows and tokens in their final form, once all decisions are made."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixscale.contracts.atomic import atomic_path, atomic_write
from mixscale.ingest.corpus import UNROUTED, Near
from mixscale.ingest.dedup.decide import Decisions
from mixscale.ingest.runtime.scratch import read_mark, scratch_path, write_mark
from mixscale.ingest.stages.read import (
    KEPT,
    NEAR_DUPLICATE,
    STATUS,
    map_signatures,
    map_tokens,
    read_rows,
)
from mixscale.shards.sql.documents import DOCUMENTS

pc: Any = pyarrow.compute  # makes its functions at run time, where no type checker sees them
_SLICE_ROWS = 1 << 15
_SLICE_TOKENS = 1 << 22
_HEX = np.array([f"{value:02x}".encode() for value in range(256)], "S2")


@dataclass(frozen=True, kw_only=True)
class UnitPlaces:
    """Where the rows of every unit come from; on disk, because every task needs all of it."""

    path: Path

    def write(self, files: Sequence[str], first_rows: Sequence[int]) -> None:
        """Save by unit the source file and the number of its first row."""
        with scratch_path(self.path) as temporary:
            places = {"files": list(files), "first_rows": list(first_rows)}
            temporary.write_text(json.dumps(places), encoding="utf-8")

    def read(self) -> tuple[pa.Array, NDArray[np.int64]]:
        """Load (units,) files and (units,) first rows."""
        return _read_places(self.path, self.path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _read_places(path: Path, _version: int) -> tuple[pa.Array, NDArray[np.int64]]:
    values = json.loads(path.read_text(encoding="utf-8"))
    return pa.array(values["files"], pa.string()), np.asarray(values["first_rows"], np.int64)


@dataclass(frozen=True, kw_only=True)
class FinishTask:
    """All that a worker needs to finish one unit."""

    number: int
    rows_path: Path
    tokens_path: Path
    dtype: str
    decisions: Decisions
    places: UnitPlaces
    domains: tuple[str, ...]
    sequence_length: int
    documents: Mapping[int, Path]
    """Parquet file by domain number."""
    token_files: Mapping[tuple[int, bool], Path]
    """By domain number and whether it is validation: where those tokens go."""
    first_tokens: Mapping[tuple[int, bool], int]
    """Where in its stream the unit's first token of that kind lies."""
    near: Near | None
    """How texts are signed, when they are."""
    signatures_path: Path
    signatures: Path
    """Gets the signatures of the texts that no exact copy has taken out."""
    mark: Path
    """Appears when all is written."""


def finish_unit(task: FinishTask) -> None:
    """Write the documents and the token files of a unit, unless that is done."""
    if read_mark(task.mark) is not None:
        return
    rows = read_rows(task.rows_path)
    _write_documents(task, rows)
    _write_tokens(task, rows)
    if task.near is not None:
        _write_signatures(task, rows, task.near)
    write_mark(task.mark, {}, list(task.token_files.values()))


def _row_range(task: FinishTask) -> slice:
    starts = task.decisions.starts
    return slice(int(starts[task.number]), int(starts[task.number + 1]))


def _write_documents(task: FinishTask, rows: pa.Table) -> None:
    first = _row_range(task).start
    next_token = dict(task.first_tokens)
    with ExitStack() as stack:
        writers = {
            rank: stack.enter_context(
                pq.ParquetWriter(
                    stack.enter_context(atomic_path(path)),
                    DOCUMENTS,
                    compression="zstd",
                    write_page_checksum=True,
                )
            )
            for rank, path in task.documents.items()
        }
        for start in range(0, rows.num_rows, _SLICE_ROWS):
            part = rows.slice(start, _SLICE_ROWS)
            table = _documents(task, part, first + start, next_token)
            ranks = part.column("domain").to_numpy()
            for rank, writer in writers.items():
                chosen = table if len(writers) == 1 else table.filter(pa.array(ranks == rank))
                writer.write_table(chosen)


def _documents(
    task: FinishTask, rows: pa.Table, first: int, next_token: dict[tuple[int, bool], int]
) -> pa.Table:
    """Build the final rows; `next_token` moves on past their tokens."""
    here = slice(first, first + rows.num_rows)
    status = np.asarray(task.decisions.status()[here])
    validation = np.asarray(task.decisions.validation()[here])
    kept = status == KEPT
    tokens = np.where(kept, rows.column("tokens").to_numpy(), 0)
    ranks = rows.column("domain").to_numpy()
    place = _token_places(ranks, validation, kept, tokens, next_token)
    files, first_rows = task.places.read()
    row_base = first_rows[task.number] - task.decisions.starts[task.number]
    names = pa.array([*task.domains, UNROUTED], pa.string())
    columns = {
        "domain": names.take(pa.array(np.where(ranks < 0, len(task.domains), ranks))),
        "split": _masked(
            pc.if_else(pa.array(validation), pa.scalar("validation"), pa.scalar("train")), kept
        ),
        "source_file": pa.repeat(files[task.number], rows.num_rows),
        "source_row": np.arange(here.start, here.stop) + row_base,
        # A text has characters, and only a text has a hash.
        "doc_id": _masked(_hex_ids(rows), rows.column("chars").to_numpy() > 0),
        "chars": rows.column("chars"),
        "bytes": rows.column("bytes"),
        "tokens": tokens,
        "status": pa.array(STATUS, pa.string()).take(pa.array(status)),
        "detail": _details(task, rows, here),
        "first_sample": _masked(pa.array(place // task.sequence_length), kept),
        "first_offset": _masked(pa.array(place % task.sequence_length), kept),
        "meta": rows.column("meta"),
    }
    arrays = [_column(columns[field.name], field.type) for field in DOCUMENTS]
    return pa.Table.from_arrays(arrays, schema=DOCUMENTS)


def _column(values: Any, kind: pa.DataType) -> Any:
    values = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    return values if values.type == kind else values.cast(kind)


def _masked(values: pa.Array, valid: NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(valid), values, pa.scalar(None, values.type))


def _hex_ids(rows: pa.Table) -> pa.Array:
    """Write the two halves of each hash as 32 hexadecimal digits."""
    halves = np.stack([rows.column("high").to_numpy(), rows.column("low").to_numpy()], axis=1)
    digits = _HEX[halves.astype(">u8").view(np.uint8).reshape(len(halves), 16)]
    data = np.ascontiguousarray(digits).tobytes()
    offsets = np.arange(len(halves) + 1, dtype=np.int32) * 32
    return pa.StringArray.from_buffers(len(halves), pa.py_buffer(offsets), pa.py_buffer(data))


def _token_places(
    ranks: NDArray[np.int16],
    validation: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    tokens: NDArray[np.uint64],
    next_token: dict[tuple[int, bool], int],
) -> NDArray[np.int64]:
    """Find for each kept row where in its stream its first token lies."""
    places = np.zeros(len(ranks), np.int64)
    for stream, start in next_token.items():
        index = np.flatnonzero(kept & (ranks == stream[0]) & (validation == stream[1]))
        ends = start + np.cumsum(tokens[index].astype(np.int64))
        places[index] = ends - tokens[index].astype(np.int64)
        if len(index):
            next_token[stream] = int(ends[-1])
    return places


def _details(task: FinishTask, rows: pa.Table, here: slice) -> pa.Array:
    """Say for duplicates where the copy is that stays; else what the unit said."""
    detail = rows.column("detail").combine_chunks()
    copy_of = np.asarray(task.decisions.copy_of()[here])
    losers = np.flatnonzero(copy_of >= 0)
    if not len(losers):
        return detail
    files, first_rows = task.places.read()
    winners = copy_of[losers]
    units = np.searchsorted(task.decisions.starts, winners, side="right") - 1
    numbers = winners - task.decisions.starts[units] + first_rows[units]
    places = pc.binary_join_element_wise(
        files.take(pa.array(units)), pa.array(numbers).cast(pa.string()), ":"
    )
    return pc.replace_with_mask(detail, pa.array(copy_of >= 0), places)


def _write_tokens(task: FinishTask, rows: pa.Table) -> None:
    if not task.token_files:
        return
    with ExitStack() as stack:
        outputs = {
            stream: stack.enter_context(stack.enter_context(scratch_path(path)).open("wb"))
            for stream, path in task.token_files.items()
        }
        for chosen, ids, counts in _token_slices(task, rows):
            for stream, output in outputs.items():
                mask = np.repeat(np.asarray(chosen == stream[0] * 2 + stream[1]), counts)
                output.write(ids[mask].data)


def _write_signatures(task: FinishTask, rows: pa.Table, near: Near) -> None:
    signed = np.flatnonzero(rows.column("status").to_numpy() == KEPT)
    status = np.asarray(task.decisions.status()[_row_range(task)])[signed]
    chosen = np.flatnonzero((status == KEPT) | (status == NEAR_DUPLICATE))
    signatures = map_signatures(task.signatures_path, near)
    with atomic_write(task.signatures, "wb") as output:
        for start in range(0, len(chosen), _SLICE_ROWS):
            output.write(signatures[chosen[start : start + _SLICE_ROWS]].data)


def _token_slices(
    task: FinishTask, rows: pa.Table
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]]:
    """Yield (texts,) streams, ids and (texts,) counts of some texts at a time."""
    here = _row_range(task)
    has_tokens = rows.column("status").to_numpy() == KEPT
    counts = rows.column("tokens").to_numpy()[has_tokens].astype(np.int64)
    kept = np.asarray(task.decisions.status()[here])[has_tokens] == KEPT
    validation = np.asarray(task.decisions.validation()[here])[has_tokens]
    ranks = rows.column("domain").to_numpy()[has_tokens].astype(np.int64)
    streams = np.where(kept, ranks * 2 + validation, -1)
    ends = np.cumsum(counts)
    ids = map_tokens(task.tokens_path, task.dtype)
    start = 0
    while start < len(counts):
        begin = int(ends[start] - counts[start])
        stop = max(start + 1, int(np.searchsorted(ends, begin + _SLICE_TOKENS, side="right")))
        part = slice(start, stop)
        yield streams[part], ids[begin : int(ends[stop - 1])], counts[part]
        start = stop
