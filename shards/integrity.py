"""Checks of a stream's files: its index, and every byte of its shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contracts.atomic import TEMPORARY_PREFIX
from contracts.errors import UserError
from contracts.shardset import ShardSet, SplitSummary
from shards.compression import decompress
from shards.mds import (
    INDEX,
    MdsOptions,
    combined_sha256,
    file_digest,
    index_json,
    read_entries,
    shard_basename,
    shard_header,
    shard_plan,
    shard_settings,
    token_dtype,
)
from shards.reconcile import Problem

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
    entry: dict[str, Any]
    first_sample: int

    @property
    def name(self) -> str:
        """The file's name."""
        return shard_basename(self.entry)

    @property
    def place(self) -> str:
        """The file, relative to the shard set."""
        return f"{self.stream.name}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What reading one shard showed."""

    name: str
    sha256: str
    bytes: int
    problems: tuple[Problem, ...]


def list_shards(stream: Stream) -> tuple[list[Shard], list[Problem]]:
    """Read a stream's index.json, and compare it with shardset.json and with the folder."""
    try:
        entries = read_entries(stream.folder)
        problems = list(_index_problems(stream, entries))
        firsts = np.cumsum([0, *(entry["samples"] for entry in entries)]).tolist()
        shards = [
            Shard(stream=stream, entry=entry, first_sample=first)
            for entry, first in zip(entries, firsts, strict=False)
        ]
        problems += _stray_files(stream, entries)
    except UserError as error:
        return [], [Problem(f"{stream.name}/{INDEX}", str(error))]
    except (KeyError, TypeError, ValueError) as error:
        return [], [Problem(f"{stream.name}/{INDEX}", f"not as it was written: {error!r}")]
    return shards, problems


def check_shard(shard: Shard) -> ShardReport:
    """Read one shard, and compare its bytes with its entry, its settings and its documents."""
    path = shard.stream.folder / shard.name
    try:
        data = path.read_bytes()
    except OSError as error:
        problem = Problem(shard.place, f"cannot read: {error.strerror}")
        return ShardReport(name=shard.name, sha256="", bytes=0, problems=(problem,))
    return ShardReport(
        name=shard.name,
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


def _index_problems(stream: Stream, entries: list[dict[str, Any]]) -> Iterator[Problem]:
    place, summary, length = (
        f"{stream.name}/{INDEX}",
        stream.summary,
        stream.shardset.sequence_length,
    )
    counts = {
        "shards": (len(entries), summary.shards),
        "samples": (sum(entry["samples"] for entry in entries), summary.samples),
        "bytes of shards": (
            sum((entry["zip_data"] or entry["raw_data"])["bytes"] for entry in entries),
            summary.shard_bytes,
        ),
        "samples and remainder, in tokens": (
            summary.samples * length + summary.remainder_tokens,
            summary.tokens,
        ),
    }
    for name, (found, expected) in counts.items():
        if found != expected:
            yield Problem(place, f"{found} {name}, but shardset.json says {expected}")
    if entries:
        yield from _entry_problems(stream, place, entries)
    if (stream.folder / INDEX).read_text(encoding="utf-8") != index_json(entries):
        yield Problem(place, "not as it was written")


def _entry_problems(stream: Stream, place: str, entries: list[dict[str, Any]]) -> Iterator[Problem]:
    """Check that the shards are cut and named as their settings say."""
    length = stream.shardset.sequence_length
    options = _options(entries[0])
    tokens = sum(entry["samples"] for entry in entries) * length
    plan = shard_plan(tokens, length, stream.dtype, options)
    if [shard.samples for shard in plan] != [entry["samples"] for entry in entries]:
        yield Problem(place, f"not cut as size_limit {options.size_limit} says")
    settings = shard_settings(length, stream.dtype, options)
    for number, entry in enumerate(entries):
        found = {key: entry[key] for key in settings}
        if found != settings:
            yield Problem(place, f"settings of shard {number} are {found}, expected {settings}")
        if entry["raw_data"]["basename"] != f"shard.{number:05}.mds":
            yield Problem(place, f"shard {number} is called {entry['raw_data']['basename']}")


def _stray_files(stream: Stream, entries: list[dict[str, Any]]) -> Iterator[Problem]:
    # Streaming decompresses shards into the folder it reads.
    known = {INDEX, *(entry["raw_data"]["basename"] for entry in entries)}
    known |= {shard_basename(entry) for entry in entries}
    for path in sorted(stream.folder.iterdir()):
        if path.name.startswith(TEMPORARY_PREFIX):
            yield Problem(f"{stream.name}/{path.name}", "left by an interrupted write; delete it")
        elif path.name not in known:
            yield Problem(f"{stream.name}/{path.name}", "extra file, not in index.json")


def _options(entry: dict[str, Any]) -> MdsOptions:
    return MdsOptions(
        size_limit=entry["size_limit"],
        compression=entry["compression"],
        hashes=tuple(entry["hashes"]),
    )


def _faults(shard: Shard, data: bytes) -> Iterator[str]:
    """Name what is wrong with the bytes of a shard."""
    raw = data
    if shard.entry["zip_data"] is not None:
        yield from _info_faults(shard.entry["zip_data"], data)
        try:
            raw = decompress(shard.entry["compression"], data)
        except Exception as error:  # every compression library has its own
            yield f"cannot decompress: {error}"
            return
    yield from _info_faults(shard.entry["raw_data"], raw)
    yield from _token_faults(shard, raw)


def _info_faults(info: dict[str, Any], data: bytes) -> Iterator[str]:
    if len(data) != info["bytes"]:
        yield f"{len(data)} bytes, expected {info['bytes']}"
    for algorithm, expected in info["hashes"].items():
        if (found := file_digest(algorithm, [data])) != expected:
            yield f"{algorithm} is {found}, expected {expected}"


def _token_faults(shard: Shard, raw: bytes) -> Iterator[str]:
    """Check what comes before the samples, then the ids, and where documents end."""
    stream, samples = shard.stream, shard.entry["samples"]
    length, tokenizer = stream.shardset.sequence_length, stream.shardset.tokenizer
    header = shard_header(samples, length, stream.dtype, _options(shard.entry))
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
