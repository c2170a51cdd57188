"""Checks of a stream's files: its index, and every byte of its shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from mixscale.contracts.atomic import TEMPORARY_PREFIX
from mixscale.contracts.config import Config, validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import ShardSet, SplitSummary
from mixscale.shards.storage.compression import decompress
from mixscale.shards.storage.mds import (
    INDEX,
    MdsOptions,
    combined_sha256,
    file_digest,
    hash_names,
    index_json,
    read_entries,
    shard_header,
    shard_plan,
    shard_settings,
    token_dtype,
)
from mixscale.shards.verify.documents import Problem

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


class FileInfo(Config):
    """What index.json says about one file."""

    basename: str
    bytes: int = Field(ge=0)
    hashes: dict[str, str]


class Entry(Config):
    """What index.json says about one shard."""

    samples: int = Field(ge=0)
    raw_data: FileInfo
    zip_data: FileInfo | None
    version: int
    format: str
    compression: str | None
    hashes: tuple[str, ...]
    size_limit: int
    column_names: tuple[str, ...]
    column_encodings: tuple[str, ...]
    column_sizes: tuple[int, ...]

    @property
    def file(self) -> FileInfo:
        """The file on disk."""
        return self.zip_data or self.raw_data

    @property
    def options(self) -> MdsOptions:
        """The settings it was written with."""
        return MdsOptions(
            size_limit=self.size_limit, compression=self.compression, hashes=self.hashes
        )


class IndexFile(Config):
    """An index.json."""

    version: int = 2
    shards: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard of a stream, as index.json lists it."""

    stream: Stream
    entry: Entry
    options: MdsOptions
    """Those of the stream."""
    first_sample: int

    @property
    def place(self) -> str:
        """The file, relative to the shard set."""
        return f"{self.stream.name}/{self.entry.file.basename}"


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What reading one shard showed."""

    name: str
    sha256: str
    bytes: int
    problems: tuple[Problem, ...]


def list_shards(stream: Stream) -> tuple[list[Shard], list[Problem]]:
    """Read a stream's index.json, and compare it with shardset.json and with the folder."""
    place = f"{stream.name}/{INDEX}"
    try:
        plain = read_entries(stream.folder)
        entries = validate({"shards": plain}, IndexFile, place).shards
        options = entries[0].options if entries else MdsOptions()
        messages = [*_sum_faults(stream, entries), *_entry_faults(stream, entries, options)]
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


def check_shard(shard: Shard) -> ShardReport:
    """Read one shard, and compare its bytes with its entry, its settings and its documents."""
    name = shard.entry.file.basename
    try:
        data = (shard.stream.folder / name).read_bytes()
    except OSError as error:
        problem = Problem(shard.place, f"cannot read: {error.strerror}")
        return ShardReport(name=name, sha256="", bytes=0, problems=(problem,))
    return ShardReport(
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        problems=tuple(Problem(shard.place, text) for text in _faults(shard, data)),
    )


def content_problems(stream: Stream, reports: list[ShardReport]) -> Iterator[Problem]:
    """Compare the content hash of a stream with shardset.json, once all its shards are read."""
    found = combined_sha256((report.name, report.sha256) for report in reports)
    if found != stream.summary.sha256:
        yield Problem(
            stream.name,
            f"the shards are not the ones that were built: sha256 {found}, "
            f"shardset.json says {stream.summary.sha256}",
        )


def _sum_faults(stream: Stream, entries: Sequence[Entry]) -> Iterator[str]:
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


def _entry_faults(stream: Stream, entries: Sequence[Entry], options: MdsOptions) -> Iterator[str]:
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


def _stray_files(stream: Stream, entries: Sequence[Entry]) -> Iterator[Problem]:
    # Streaming decompresses shards into the folder it reads.
    known = {INDEX, *(name for e in entries for name in (e.raw_data.basename, e.file.basename))}
    for path in sorted(stream.folder.iterdir()):
        if path.name.startswith(TEMPORARY_PREFIX):
            yield Problem(f"{stream.name}/{path.name}", "left by an interrupted write; delete it")
        elif path.name not in known:
            yield Problem(f"{stream.name}/{path.name}", "extra file, not in index.json")


def _faults(shard: Shard, data: bytes) -> Iterator[str]:
    """Name what is wrong with the bytes of a shard."""
    raw = data
    if shard.options.compression is not None:
        yield from _info_faults(shard.entry.file, data)
        try:
            raw = decompress(shard.options.compression, data)
        except Exception as error:  # every compression library has its own
            yield f"cannot decompress: {error}"
            return
    yield from _info_faults(shard.entry.raw_data, raw)
    yield from _token_faults(shard, raw)


def _info_faults(info: FileInfo, data: bytes) -> Iterator[str]:
    if len(data) != info.bytes:
        yield f"{len(data)} bytes, expected {info.bytes}"
    for algorithm in sorted(hash_names() & set(info.hashes)):
        found, expected = file_digest(algorithm, [data]), info.hashes[algorithm]
        if found != expected:
            yield f"{algorithm} is {found}, expected {expected}"


def _token_faults(shard: Shard, raw: bytes) -> Iterator[str]:
    """Check what comes before the samples, then the ids, and where documents end."""
    stream, samples = shard.stream, shard.entry.samples
    length, tokenizer = stream.shardset.sequence_length, stream.shardset.tokenizer
    header = shard_header(samples, length, stream.dtype, shard.options)
    if raw[: len(header)] != header:
        yield "the header is not that of its settings"
        return
    if len(raw) != len(header) + samples * length * stream.dtype.itemsize:
        yield f"does not hold {samples} samples"
        return
    ids = np.frombuffer(raw, stream.dtype, offset=len(header))
    if len(ids) and int(ids.max()) >= tokenizer.vocab_size:
        yield f"token id {ids.max()} is outside the vocabulary of {tokenizer.vocab_size}"
    first = shard.first_sample * length
    begin, end = np.searchsorted(stream.last_tokens, [first, first + len(ids)])
    lasts = stream.last_tokens[begin:end] - first
    wrong = lasts[ids[lasts] != tokenizer.eos_token_id]
    if len(wrong):
        yield (
            f"token {wrong[0] % length} of sample {wrong[0] // length} is not the end-of-text "
            f"token, though a document ends there ({len(wrong)} such places)"
        )
