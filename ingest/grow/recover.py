"""Results of units taken back out of a finished shard set, so that growing reads only new files."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mixscale.ingest.dedup.decide import Decisions
from mixscale.ingest.runtime.scratch import read_mark, scratch_path, write_mark
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.stages.read import (
    DUPLICATE,
    KEPT,
    NEAR_DUPLICATE,
    ROWS,
    STATUS,
    UNROUTED_RANK,
    ReadTask,
    UnitSummary,
    read_rows,
)
from mixscale.shards.storage.compression import decompress
from mixscale.shards.storage.mds_index import read_entries, shard_basename

_SLICE_TOKENS = 1 << 22
_NO_HASH = "0" * 32

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class RecoverTask:
    """All that a worker needs to take back one unit."""

    read: ReadTask
    """How the unit would be read."""
    digest: str
    """Of its input bytes."""
    documents: tuple[Path, ...]
    """Its Parquet files."""
    signatures: Path
    """Those of its texts, when the texts are signed."""
    out: Path
    sequence_length: int


def recover_unit(task: RecoverTask) -> None:
    """Write what reading the unit would have given, but for the tokens of duplicates.

    An exact copy that lost to an earlier record loses also when there are more records. A near
    duplicate may come back: then the unit is read again.
    """
    if read_mark(task.read.mark) is not None:
        return
    documents = _documents(task)
    rows = _rows(documents, task)
    with scratch_path(task.read.rows_path) as path, pa.ipc.new_file(str(path), ROWS) as writer:
        writer.write_table(rows)
    with scratch_path(task.read.tokens_path) as path, path.open("wb") as stream:
        for ids in _token_slices(documents, task):
            stream.write(ids.data)
    with scratch_path(task.read.signatures_path) as path:
        if task.read.reading.near is None:
            path.touch()
        else:
            shutil.copyfile(task.signatures, path)
    summary = UnitSummary(
        rows=rows.num_rows,
        tokens=int(documents.column("tokens").to_numpy().sum()),
        digest=task.digest,
    )
    write_mark(task.read.mark, asdict(summary), task.read.files)


def lacks_tokens(task: ReadTask, number: int, decisions: Decisions) -> bool:
    """Tell whether a unit's results miss the tokens of a record that is kept.

    Args:
        task: The unit.
        number: Its number among all units.
        decisions: About the records of all units.
    """
    if task.reading.near is None:
        return False
    here = slice(int(decisions.starts[number]), int(decisions.starts[number + 1]))
    # A kept text has its end-of-text token at least.
    tokens = read_rows(task.rows_path).column("tokens").to_numpy()
    return bool(((decisions.status()[here] == KEPT) & (tokens == 0)).any())


def _documents(task: RecoverTask) -> pa.Table:
    """Read the unit's rows in the order of its file."""
    tables = [pq.read_table(path) for path in task.documents]
    return pa.concat_tables(tables).sort_by("source_row").combine_chunks()


def _rows(documents: pa.Table, task: RecoverTask) -> pa.Table:
    ranks = {rule.domain: rank for rank, rule in enumerate(task.read.reading.rules)}
    names = documents.column("domain").to_pylist()
    digests = documents.column("doc_id").fill_null(_NO_HASH).to_pylist()
    halves = np.frombuffer(bytes.fromhex("".join(digests)), ">u8").astype(np.uint64).reshape(-1, 2)
    status = np.array([STATUS.index(s) for s in documents.column("status").to_pylist()], np.uint8)
    # Where the other copy is comes anew from the comparison of all units.
    details = documents.column("detail").to_pylist()
    copies = (DUPLICATE, NEAR_DUPLICATE)
    detail = [None if s in copies else d for s, d in zip(status.tolist(), details, strict=True)]
    status[status == NEAR_DUPLICATE] = KEPT
    columns: dict[str, Any] = {
        "domain": [ranks.get(name, UNROUTED_RANK) for name in names],
        "high": halves[:, 0],
        "low": halves[:, 1],
        "status": status,
        "detail": detail,
        **{name: documents.column(name) for name in ("chars", "bytes", "tokens", "meta")},
    }
    return pa.table(columns, schema=ROWS)


def _token_slices(documents: pa.Table, task: RecoverTask) -> Iterator[NDArray[Any]]:
    """Yield the tokens of the kept rows, in the order of the rows, some megabytes at a time."""
    kept = documents.column("status").to_numpy() == STATUS[KEPT]
    counts = documents.column("tokens").to_numpy()[kept].astype(np.int64)
    streams, cursors = _streams(documents.filter(pa.array(kept)), task)
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        begin = int(ends[start] - counts[start])
        stop = max(start + 1, int(np.searchsorted(ends, begin + _SLICE_TOKENS, side="right")))
        part = slice(start, stop)
        ids = np.empty(int(ends[stop - 1]) - begin, task.read.encoder.dtype)
        owners = np.repeat(streams[part], counts[part])
        for number, cursor in enumerate(cursors):
            chosen = owners == number
            ids[chosen] = cursor.take(int(chosen.sum()))
        yield ids
        start = stop


def _streams(kept: pa.Table, task: RecoverTask) -> tuple[Ints, list[_Cursor]]:
    """Number the stream of each kept row, and open each stream at the unit's first token in it."""
    ranks = kept.column("domain").to_pylist()
    splits = kept.column("split").to_pylist()
    places = (
        kept.column("first_sample").to_numpy().astype(np.int64) * task.sequence_length
        + kept.column("first_offset").to_numpy()
    )
    numbers: dict[tuple[str, str], int] = {}
    cursors: list[_Cursor] = []
    streams = np.empty(len(ranks), np.int64)
    for row, stream in enumerate(zip(ranks, splits, strict=True)):
        if stream not in numbers:
            numbers[stream] = len(cursors)
            cursors.append(_Cursor(task, stream, int(places[row])))
        streams[row] = numbers[stream]
    return streams, cursors


class _Cursor:
    """Reads a stream's tokens on from one place: its shards, then its remainder."""

    def __init__(self, task: RecoverTask, stream: tuple[str, str], place: int) -> None:
        self._folder = task.out / stream[0] / stream[1]
        self._remainder = Workspace(out=task.out).remainder(*stream)
        self._dtype = np.dtype(task.read.encoder.dtype)
        self._length = task.sequence_length
        self._place = place

    def take(self, count: int) -> NDArray[Any]:
        """Read the next tokens."""
        parts: list[NDArray[Any]] = []
        while count:
            start, tokens = self._file_at(self._place)
            part = tokens[self._place - start :][:count]
            assert len(part), "the stream ends before the documents say"
            parts.append(part)
            self._place += len(part)
            count -= len(part)
        return np.concatenate([*parts, np.empty(0, self._dtype)])

    def _file_at(self, place: int) -> tuple[int, NDArray[Any]]:
        start = 0
        for entry in _entries(self._folder):
            tokens = entry["samples"] * self._length
            if place < start + tokens:
                return start, _shard_tokens(
                    self._folder, shard_basename(entry), self._dtype, tokens
                )
            start += tokens
        return start, np.fromfile(self._remainder, self._dtype)


@functools.lru_cache(maxsize=64)
def _entries(folder: Path) -> Sequence[dict[str, Any]]:
    return read_entries(folder)


@functools.lru_cache(maxsize=4)
def _shard_tokens(folder: Path, name: str, dtype: np.dtype[Any], tokens: int) -> NDArray[Any]:
    """Take the samples of a shard; they are its last bytes."""
    path = folder / name
    entry = next(e for e in _entries(folder) if shard_basename(e) == name)
    if entry["compression"] is not None:
        data = decompress(entry["compression"], path.read_bytes())
        return np.frombuffer(data, dtype, tokens, len(data) - tokens * dtype.itemsize)
    offset = path.stat().st_size - tokens * dtype.itemsize
    return np.memmap(path, dtype, mode="r", offset=offset, shape=(tokens,))
