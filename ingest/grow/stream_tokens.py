"""Tokens of documents, read back from the streams of a finished shard set."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.unit_rows import KEPT, STATUS
from mixscale.shards.storage.compression import decompress
from mixscale.shards.storage.mds_index import read_entries, shard_basename

_SLICE_TOKENS = 1 << 22

Ints = NDArray[np.int64]


def kept_tokens(
    documents: pa.Table, out: Path, sequence_length: int, dtype: str
) -> Iterator[NDArray[Any]]:
    """Yield the tokens of the kept documents, in their order, some megabytes at a time.

    Args:
        documents: Rows of the documents table.
        out: The shard set they are of.
        sequence_length: Tokens in its samples.
        dtype: Of its tokens.
    """
    kept = documents.column("status").to_numpy() == STATUS[KEPT]
    counts = documents.column("tokens").to_numpy()[kept].astype(np.int64)
    places = _Places(out=out, sequence_length=sequence_length, dtype=np.dtype(dtype))
    streams, cursors = _streams(documents.filter(pa.array(kept)), places)
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        begin = int(ends[start] - counts[start])
        stop = max(start + 1, int(np.searchsorted(ends, begin + _SLICE_TOKENS, side="right")))
        texts = slice(start, stop)
        ids = np.empty(int(ends[stop - 1]) - begin, dtype)
        owners = np.repeat(streams[texts], counts[texts])
        for number, cursor in enumerate(cursors):
            chosen = owners == number
            ids[chosen] = cursor.take(int(chosen.sum()))
        yield ids
        start = stop


@dataclass(frozen=True, kw_only=True)
class _Places:
    """What is needed to find tokens in the streams of a shard set."""

    out: Path
    sequence_length: int
    dtype: np.dtype[Any]


def _streams(kept: pa.Table, places: _Places) -> tuple[Ints, list[_Cursor]]:
    """Number the stream of each kept row, and open each stream at the unit's first token in it."""
    ranks = kept.column("domain").to_pylist()
    splits = kept.column("split").to_pylist()
    firsts = (
        kept.column("first_sample").to_numpy().astype(np.int64) * places.sequence_length
        + kept.column("first_offset").to_numpy()
    )
    numbers: dict[tuple[str, str], int] = {}
    cursors: list[_Cursor] = []
    streams = np.empty(len(ranks), np.int64)
    for row, stream in enumerate(zip(ranks, splits, strict=True)):
        if stream not in numbers:
            numbers[stream] = len(cursors)
            cursors.append(_Cursor(places, stream, int(firsts[row])))
        streams[row] = numbers[stream]
    return streams, cursors


class _Cursor:
    """Reads a stream's tokens on from one place: its shards, then its remainder."""

    def __init__(self, places: _Places, stream: tuple[str, str], place: int) -> None:
        work = Workspace(out=places.out)
        self._folder = work.stream(*stream)
        self._remainder = work.remainder(*stream)
        self._dtype = places.dtype
        self._length = places.sequence_length
        self._place = place

    def take(self, count: int) -> NDArray[Any]:
        """Read the next tokens."""
        found: list[NDArray[Any]] = []
        while count:
            start, tokens = self._file_at(self._place)
            taken = tokens[self._place - start :][:count]
            assert len(taken), "the stream is shorter than its documents"
            found.append(taken)
            self._place += len(taken)
            count -= len(taken)
        return np.concatenate([*found, np.empty(0, self._dtype)])

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
