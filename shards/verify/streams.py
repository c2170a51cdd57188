"""Checks of a stream: its index.json against shardset.json, its folder and its content hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.atomic import TEMPORARY_PREFIX
from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import ShardSet, SplitSummary
from mixscale.shards.storage.hashes import combined_sha256
from mixscale.shards.storage.mds import MdsOptions, shard_plan, shard_settings, token_dtype
from mixscale.shards.storage.mds_index import (
    INDEX,
    IndexFile,
    ShardEntry,
    index_json,
    read_entries,
)
from mixscale.shards.verify.problem import Problem

Tokens = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One stream of a shard set, with what its files should hold."""

    root: Path
    shardset: ShardSet
    domain: str
    split: str
    last_tokens: Tokens
    """Place of every document's last token in the stream, increasing."""

    @property
    def name(self) -> str:
        """The folder, relative to the shard set."""
        return f"{self.domain}/{self.split}"

    @property
    def folder(self) -> Path:
        """The folder with the shards."""
        return self.root / self.domain / self.split

    @property
    def summary(self) -> SplitSummary:
        """What shardset.json says about the stream."""
        return self.shardset.domains[self.domain][self.split]  # pyright: ignore[reportArgumentType]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the token ids."""
        return token_dtype(self.shardset.tokenizer.vocab_size)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard of a stream, as index.json lists it."""

    stream: Stream
    entry: ShardEntry
    options: MdsOptions
    """Those of the stream."""
    first_sample: int

    @property
    def place(self) -> str:
        """The file, relative to the shard set."""
        return f"{self.stream.name}/{self.entry.file.basename}"


def list_shards(stream: Stream) -> tuple[list[Shard], list[Problem]]:
    """Read a stream's index.json, and compare it with shardset.json and with the folder."""
    place = f"{stream.name}/{INDEX}"
    try:
        plain = read_entries(stream.folder)
        entries = validate({"shards": plain}, IndexFile, place).shards
        options = _options(entries[0]) if entries else MdsOptions()
        messages = [*_total_problems(stream, entries), *_entry_problems(stream, entries, options)]
    except UserError as error:
        return [], [Problem(place, str(error))]
    if (stream.folder / INDEX).read_text(encoding="utf-8") != index_json(plain):
        messages.append("not as it was written")
    firsts = np.cumsum([0, *(entry.samples for entry in entries)]).tolist()
    shards = [
        Shard(stream=stream, entry=entry, options=options, first_sample=first)
        for entry, first in zip(entries, firsts, strict=False)
    ]
    problems = [Problem(place, message) for message in messages]
    return shards, [*problems, *_stray_files(stream, entries)]


def content_problems(stream: Stream, shards: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    """Compare the content hash of a stream with shardset.json.

    Args:
        stream: The stream.
        shards: Name and SHA-256 of each of its shards, in order.
    """
    found = combined_sha256(shards)
    if found != stream.summary.sha256:
        yield Problem(
            stream.name,
            f"the shards are not the ones that were built: sha256 {found}, "
            f"shardset.json says {stream.summary.sha256}",
        )


def _options(entry: ShardEntry) -> MdsOptions:
    return MdsOptions(
        size_limit=entry.size_limit, compression=entry.compression, hashes=entry.hashes
    )


def _total_problems(stream: Stream, entries: Sequence[ShardEntry]) -> Iterator[str]:
    summary, length = stream.summary, stream.shardset.sequence_length
    whole = summary.samples * length
    for name, found, expected in (
        ("shards", len(entries), summary.shards),
        ("samples", sum(entry.samples for entry in entries), summary.samples),
        ("bytes of shards", sum(entry.file.bytes for entry in entries), summary.shard_bytes),
        ("tokens in samples and remainder", whole + summary.remainder_tokens, summary.tokens),
    ):
        if found != expected:
            yield f"{found} {name}, but shardset.json says {expected}"


def _entry_problems(
    stream: Stream, entries: Sequence[ShardEntry], options: MdsOptions
) -> Iterator[str]:
    """Check that the shards are cut and named as their settings say."""
    length = stream.shardset.sequence_length
    plan = shard_plan(stream.summary.samples * length, length, stream.dtype, options)
    if [shard.samples for shard in plan] != [entry.samples for entry in entries]:
        yield f"not cut as size_limit {options.size_limit} says"
    settings = shard_settings(length, stream.dtype, options)
    for number, entry in enumerate(entries):
        found = {
            key: value for key, value in entry.model_dump(mode="json").items() if key in settings
        }
        if found != settings:
            yield f"settings of shard {number} are {found}, expected {settings}"
        if entry.raw_data.basename != f"shard.{number:05}.mds":
            yield f"shard {number} is called {entry.raw_data.basename}"
        if (entry.zip_data is None) != (options.compression is None):
            yield f"shard {number} does not say whether it is compressed"
        for info in filter(None, (entry.raw_data, entry.zip_data)):
            if tuple(sorted(info.hashes)) != options.hashes:
                yield f"shard {number} has the hashes {sorted(info.hashes)}"


def _stray_files(stream: Stream, entries: Sequence[ShardEntry]) -> Iterator[Problem]:
    # Streaming decompresses shards into the folder it reads.
    known = {INDEX, *(name for e in entries for name in (e.raw_data.basename, e.file.basename))}
    for path in sorted(stream.folder.iterdir()):
        if path.name.startswith(TEMPORARY_PREFIX):
            yield Problem(f"{stream.name}/{path.name}", "left by an interrupted write; delete it")
        elif path.name not in known:
            yield Problem(f"{stream.name}/{path.name}", "extra file, not in index.json")
