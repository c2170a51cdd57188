"""The token files of all streams, cut into shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.shardset import SplitSummary
from mixscale.ingest.runtime.intermediate import read_completion, write_completion
from mixscale.ingest.runtime.progress import stage
from mixscale.ingest.runtime.runner import Runner
from mixscale.shards.storage.mds import MdsOptions, ShardRange, TokenFile, shard_plan, write_shard
from mixscale.shards.storage.mds_index import finish_stream, shard_basename, stream_sha256


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


@dataclass(frozen=True, kw_only=True)
class _ShardTask:
    stream: StreamTask
    shard: ShardRange

    @property
    def completion(self) -> Path:
        return self.stream.completions / f"{self.shard.number}.json"


def write_shards(
    streams: Sequence[StreamTask], run: Runner, *, progress: bool
) -> list[SplitSummary]:
    """Write the shards of all streams, and describe each stream."""
    tasks = [_ShardTask(stream=s, shard=shard) for s in streams for shard in s.shards()]
    with stage("shards", len(tasks), "shards", progress=progress) as advance:
        entries = iter(run(_write_shard, tasks, lambda *_: advance(1)))
    by_stream = [[next(entries) for _ in stream.shards()] for stream in streams]
    finished = [
        _FinishTask(stream=stream, entries=tuple(entries))
        for stream, entries in zip(streams, by_stream, strict=True)
    ]
    return run(_finish_stream, finished, lambda *_: None)


def _write_shard(task: _ShardTask) -> dict[str, Any]:
    """Write one shard, unless that is done."""
    done = read_completion(task.completion)
    if done is not None:
        return done
    stream = task.stream
    entry = write_shard(
        stream.folder,
        task.shard,
        stream.token_files,
        stream.sequence_length,
        stream.dtype,
        stream.options,
    )
    write_completion(task.completion, entry)
    return entry


@dataclass(frozen=True, kw_only=True)
class _FinishTask:
    stream: StreamTask
    entries: tuple[dict[str, Any], ...]


def _finish_stream(task: _FinishTask) -> SplitSummary:
    stream = task.stream
    finish_stream(stream.folder, task.entries)
    samples, remainder = divmod(stream.tokens, stream.sequence_length)
    with atomic_write(stream.remainder, "wb") as output:
        output.write(_last_tokens(stream, remainder))
    sizes = [(stream.folder / shard_basename(entry)).stat().st_size for entry in task.entries]
    return SplitSummary(
        documents=stream.documents,
        text_bytes=stream.text_bytes,
        tokens=stream.tokens,
        samples=samples,
        remainder_tokens=remainder,
        shards=len(task.entries),
        shard_bytes=sum(sizes),
        sha256=stream_sha256(stream.folder),
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
