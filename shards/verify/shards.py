"""Checks of every byte of a shard against its entry in index.json and the documents in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixscale.shards.storage.compression import decompress
from mixscale.shards.storage.hashes import file_digest, hash_names
from mixscale.shards.storage.mds import shard_header
from mixscale.shards.storage.mds_index import StoredFile
from mixscale.shards.verify.problem import Problem
from mixscale.shards.verify.streams import Shard, Tokens


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What reading one shard showed."""

    name: str
    sha256: str
    bytes: int
    problems: tuple[Problem, ...]


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
        problems=tuple(Problem(shard.place, text) for text in _problems(shard, data)),
    )


def _problems(shard: Shard, data: bytes) -> Iterator[str]:
    """Name what is wrong with the bytes of a shard."""
    raw = data
    if shard.options.compression is not None:
        yield from _file_problems(shard.entry.file, data)
        try:
            raw = decompress(shard.options.compression, data)
        except Exception as error:  # every compression library has its own
            yield f"cannot decompress: {error}"
            return
    yield from _file_problems(shard.entry.raw_data, raw)
    yield from _content_problems(shard, raw)


def _file_problems(info: StoredFile, data: bytes) -> Iterator[str]:
    if len(data) != info.bytes:
        yield f"{len(data)} bytes, expected {info.bytes}"
    for algorithm in sorted(hash_names() & set(info.hashes)):
        found, expected = file_digest(algorithm, [data]), info.hashes[algorithm]
        if found != expected:
            yield f"{algorithm} is {found}, expected {expected}"


def _content_problems(shard: Shard, raw: bytes) -> Iterator[str]:
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
    lasts = _inside(stream.last_tokens, first, len(ids))
    wrong = lasts[ids[lasts] != tokenizer.eos_token_id]
    if len(wrong):
        yield (
            f"token {wrong[0] % length} of sample {wrong[0] // length} is not the end-of-text "
            f"token, though a document ends there ({len(wrong)} such places)"
        )
    if tokenizer.bos_token_id is None:
        return
    # A document begins where the one before it has ended.
    begins = np.concatenate([[0], stream.last_tokens[:-1] + 1])
    firsts = _inside(begins, first, len(ids))
    wrong = firsts[ids[firsts] != tokenizer.bos_token_id]
    if len(wrong):
        yield (
            f"token {wrong[0] % length} of sample {wrong[0] // length} is not the "
            f"beginning-of-text token, though a document begins there ({len(wrong)} such places)"
        )


def _inside(places: Tokens, first: int, count: int) -> Tokens:
    """Take the increasing places from `first` on, so many tokens far, counted from there."""
    begin, end = np.searchsorted(places, [first, first + count])
    return places[begin:end] - first
