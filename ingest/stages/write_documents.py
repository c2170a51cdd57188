"""The documents of a bundle in their final form, once all decisions are made."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixscale.contracts.atomic import atomic_path
from mixscale.ingest.corpus import UNROUTED
from mixscale.ingest.runtime.intermediate import read_completion, write_completion
from mixscale.ingest.stages.count import Stream
from mixscale.ingest.stages.write_task import WriteTask
from mixscale.ingest.stages.write_tokens import write_signatures, write_tokens
from mixscale.ingest.unit_rows import KEPT, STATUS, read_rows, row_slices
from mixscale.shards.sql.documents import DOCUMENTS, RECORD_COLUMNS
from mixscale.shards.storage.hashes import file_sha256

pc: Any = pyarrow.compute  # makes its functions at run time, where no type checker sees them
_HEX = np.array([f"{value:02x}".encode() for value in range(256)], "S2")


def write_bundle(task: WriteTask) -> dict[str, str]:
    """Write the documents and the token files of a bundle, unless that is done.

    Returns:
        SHA-256 of the files that stay in the shard set, by path.
    """
    done = read_completion(task.completion)
    if done is not None:
        return done
    rows = read_rows(task.read.rows_path)
    _write_documents(task, rows)
    write_tokens(task, rows)
    if task.near is not None:
        write_signatures(task, rows, task.near)
    staying = [*task.documents.values(), *([task.signatures] if task.near is not None else [])]
    hashes = {str(path): file_sha256(path) for path in staying}
    write_completion(task.completion, hashes, list(task.token_files.values()))
    return hashes


def _write_documents(task: WriteTask, rows: pa.Table) -> None:
    first = task.first_row
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
        for start, count in row_slices(rows):
            some_rows = rows.slice(start, count)
            table = _documents(task, some_rows, first + start, next_token)
            ranks = some_rows.column("domain").to_numpy()
            for rank, writer in writers.items():
                chosen = table if len(writers) == 1 else table.filter(pa.array(ranks == rank))
                writer.write_table(chosen)


def _documents(
    task: WriteTask, rows: pa.Table, first: int, next_token: dict[Stream, int]
) -> pa.Table:
    """Build the final rows; `next_token` moves on past their tokens."""
    here = first, first + rows.num_rows
    status = task.decisions.status(*here)
    validation = task.decisions.validation(*here)
    kept = status == KEPT
    tokens = np.where(kept, rows.column("tokens").to_numpy(), 0)
    ranks = rows.column("domain").to_numpy()
    place = _token_places(ranks, validation, kept, tokens, next_token)
    files, numbers = task.settings.places.find(np.arange(*here))
    names = pa.array([*task.settings.domains, UNROUTED], pa.string())
    columns = {
        **{column.name: rows.column(column.name) for column in RECORD_COLUMNS},
        "domain": names.take(pa.array(np.where(ranks < 0, len(task.settings.domains), ranks))),
        "split": _masked(
            pc.if_else(pa.array(validation), pa.scalar("validation"), pa.scalar("train")), kept
        ),
        "source_file": files,
        "source_row": numbers,
        # A text has characters, and only a text has a hash.
        "doc_id": _masked(_hex_ids(rows), rows.column("chars").to_numpy() > 0),
        "tokens": tokens,
        "status": pa.array(STATUS, pa.string()).take(pa.array(status)),
        "detail": _details(task, rows, here),
        "first_sample": _masked(pa.array(place // task.settings.sequence_length), kept),
        "first_offset": _masked(pa.array(place % task.settings.sequence_length), kept),
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
    next_token: dict[Stream, int],
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


def _details(task: WriteTask, rows: pa.Table, here: tuple[int, int]) -> pa.Array:
    """Name for duplicates the record that stays; other rows keep the detail they have."""
    detail = rows.column("detail").combine_chunks()
    copy_of = task.decisions.copy_of(*here)
    losers = np.flatnonzero(copy_of >= 0)
    if not len(losers):
        return detail
    files, numbers = task.settings.places.find(copy_of[losers])
    places = pc.binary_join_element_wise(files, pa.array(numbers).cast(pa.string()), ":")
    return pc.replace_with_mask(detail, pa.array(copy_of >= 0), places)
