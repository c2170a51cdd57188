"""The token files of all streams, cut into shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.shardset import SplitSummary
from mixscale.ingest.runtime.intermediate import read_completion, write_completion
from mixscale.ingest.runtime.progress import stage
from mixscale.ingest.runtime.runner import Runner
from mixscale.shards.storage.hashes import combined_sha256, file_sha256
from mixscale.shards.storage.mds import MdsOptions, ShardRange, TokenFile, shard_plan, write_shard
from mixscale.shards.storage.mds_index import finish_stream, shard_basename


@dataclass(frozen=True, kw_only=True)
class StreamTask:
    """One stream to be written."""

    folder: Path
    remainder: Path
    """Gets the tokens after the last whole sample."""
    completions: Path
    """Folder with the index entries of the shards that are done."""
    documents: int
    text_bytes: int
    token_files: tuple[TokenFile, ...]
    sequence_length: int
    dtype: np.dtype[Any]
    options: MdsOptions

    @property
    def tokens(self) -> int:
        """Tokens of the stream, the remainder included."""
        return sum(file.tokens for file in self.token_files)

    def shards(self) -> list[ShardRange]:
        """Cut the stream."""
        return shard_plan(self.tokens, self.sequence_length, self.dtype, self.options)

    def tasks(self) -> Iterator[ShardTask]:
        """Make the task of every shard, which knows of no more token files than it needs."""
        ends = np.cumsum([file.tokens for file in self.token_files], dtype=np.int64)
        for shard in self.shards():
            first = shard.first_sample * self.sequence_length
            last = first + shard.samples * self.sequence_length
            start = int(np.searchsorted(ends, first, side="right"))
            stop = int(np.searchsorted(ends, last, side="left")) + 1
            yield ShardTask(
                folder=self.folder,
                shard=shard,
                token_files=self.token_files[start:stop],
                first_token=int(ends[start]) - self.token_files[start].tokens,
                sequence_length=self.sequence_length,
                dtype=self.dtype,
                options=self.options,
                completion=self.completions / f"{shard.number}.json",
            )


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """One shard of a stream."""

    folder: Path
    shard: ShardRange
    token_files: tuple[TokenFile, ...]
    """Those that hold its tokens."""
    first_token: int
    """Place in the stream of the first token of these files."""
    sequence_length: int
    dtype: np.dtype[Any]
    options: MdsOptions
    completion: Path


def write_shards(
    streams: Sequence[StreamTask], run: Runner, *, progress: bool
) -> list[SplitSummary]:
    """Write the shards of all streams, and describe each stream."""
    tasks = [task for stream in streams for task in stream.tasks()]
    with stage("shards", len(tasks), "shards", progress=progress) as advance:
        written = iter(run(_write_shard, tasks, lambda *_: advance(1)))
    return [_finish_stream(stream, [next(written) for _ in stream.shards()]) for stream in streams]


def _write_shard(task: ShardTask) -> dict[str, Any]:
    """Write one shard, unless that is done; returns its entry in index.json, and its SHA-256."""
    done = read_completion(task.completion)
    if done is not None:
        return done
    entry = write_shard(
        task.folder,
        task.shard,
        task.token_files,
        task.sequence_length,
        task.dtype,
        task.options,
        first_token=task.first_token,
    )
    sha256 = file_sha256(task.folder / shard_basename(entry))
    written = {"entry": entry, "sha256": sha256}
    write_completion(task.completion, written)
    return written


def _finish_stream(stream: StreamTask, written: Sequence[dict[str, Any]]) -> SplitSummary:
    entries = [shard["entry"] for shard in written]
    finish_stream(stream.folder, entries)
    samples, remainder = divmod(stream.tokens, stream.sequence_length)
    with atomic_write(stream.remainder, "wb") as output:
        output.write(_last_tokens(stream, remainder))
    return SplitSummary(
        documents=stream.documents,
        text_bytes=stream.text_bytes,
        tokens=stream.tokens,
        samples=samples,
        remainder_tokens=remainder,
        shards=len(entries),
        shard_bytes=sum((entry["zip_data"] or entry["raw_data"])["bytes"] for entry in entries),
        sha256=combined_sha256(
            (shard_basename(shard["entry"]), shard["sha256"]) for shard in written
        ),
    )


def _last_tokens(stream: StreamTask, count: int) -> bytes:
    """Read the last tokens of a stream."""
    found: list[bytes] = []
    for file in reversed(stream.token_files):
        if count == 0:
            break
        taken = min(count, file.tokens)
        with file.path.open("rb") as source:
            source.seek((file.tokens - taken) * stream.dtype.itemsize)
            found.append(source.read())
        count -= taken
    return b"".join(reversed(found))
