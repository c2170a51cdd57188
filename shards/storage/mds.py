"""Writes token streams as Streaming's MDS shards, byte for byte as `streaming.MDSWriter` would.

The layout is that of Streaming 0.13 (`streaming/base/format/mds/writer.py`): the number of samples,
`samples + 1` byte offsets, the settings as JSON, then the samples. Tokens of one fixed length need
no header of their own, so the samples of a shard are one run of bytes of the stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError, unknown_name
from mixscale.shards.storage.compression import compress, parse_compression
from mixscale.shards.storage.hashes import file_digest, hash_names
from mixscale.shards.storage.mds_index import shard_basename

COLUMN = "tokens"
_LENGTH_BYTES = _OFFSET_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class TokenFile:
    """Raw little-endian token ids on disk; files joined in order form a stream."""

    path: Path
    tokens: int


@dataclass(frozen=True, kw_only=True)
class MdsOptions:
    """How shards are cut and stored; names and meanings are those of `MDSWriter`."""

    size_limit: int = 1 << 26
    """Bytes of a shard before compression, its header included."""
    compression: str | None = None
    """A family, or family and level: `zstd`, `zstd:7`, `gz`, `br`, `bz2`, `snappy`."""
    hashes: tuple[str, ...] = ()
    """Hashes to put into index.json: names of hashlib or xxhash, sorted."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            UserError: A value that `MDSWriter` would not take, or that cannot hold a sample.
        """
        if not 0 < self.size_limit < 1 << 32:
            raise UserError(
                f"size_limit: {self.size_limit} is not in 1..{(1 << 32) - 1}; "
                "offsets inside a shard are 32-bit"
            )
        if self.compression is not None:
            parse_compression(self.compression)
        for name in self.hashes:
            if name not in hash_names():
                raise unknown_name("hashes", name, hash_names())
        if list(self.hashes) != sorted(set(self.hashes)):
            raise UserError(f"hashes: {list(self.hashes)} must be sorted, each at most once")


@dataclass(frozen=True, kw_only=True)
class ShardRange:
    """The samples of one shard: `first_sample` counts from the start of the stream."""

    number: int
    first_sample: int
    samples: int


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Choose the smallest of uint16 or uint32 that holds every id below `vocab_size`."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


def shard_plan(
    total_tokens: int, sequence_length: int, dtype: np.dtype[Any], options: MdsOptions
) -> list[ShardRange]:
    """Cut a stream of `total_tokens` into shards, the partial last sample left out.

    Raises:
        UserError: One sample does not fit into a shard.
    """
    samples = total_tokens // sequence_length
    sample_bytes = sequence_length * dtype.itemsize + _OFFSET_BYTES
    # MDSWriter counts 8 bytes for the number of samples and the first offset.
    fixed_bytes = 2 * _OFFSET_BYTES + len(_settings_json(sequence_length, dtype, options))
    per_shard = (options.size_limit - fixed_bytes) // sample_bytes
    if per_shard < 1:
        raise UserError(
            f"size_limit: {options.size_limit} bytes cannot hold one sample of {sequence_length} "
            f"tokens; use at least {fixed_bytes + sample_bytes}"
        )
    return [
        ShardRange(number=n, first_sample=first, samples=min(per_shard, samples - first))
        for n, first in enumerate(range(0, samples, per_shard))
    ]


def write_shard(
    folder: str | Path,
    plan: ShardRange,
    token_files: Sequence[TokenFile],
    sequence_length: int,
    dtype: np.dtype[Any],
    options: MdsOptions,
    *,
    first_token: int = 0,
) -> dict[str, Any]:
    """Write one shard of a stream; any order and any process will do.

    Args:
        folder: The folder of the stream.
        plan: Which samples, from `shard_plan`.
        token_files: Files of the stream, in order; only what the shard needs is read.
        sequence_length: Tokens of a sample.
        dtype: Of the ids in the files and in the shard, from `token_dtype`.
        options: As given to `shard_plan`.
        first_token: Place in the stream of the first token of these files.

    Returns:
        The entry of the shard in index.json.

    Raises:
        UserError: A token file does not have the size it should have.
    """
    raw_name = f"shard.{plan.number:05}.mds"
    buffers = [
        shard_header(plan.samples, sequence_length, dtype, options),
        *_token_bytes(token_files, first_token, plan, sequence_length, dtype),
    ]
    settings = shard_settings(sequence_length, dtype, options)
    entry = {
        "samples": plan.samples,
        "raw_data": _file_info(raw_name, buffers, options.hashes),
        "zip_data": None,
    } | settings
    if options.compression is not None:
        buffers = [compress(options.compression, buffers)]
        zip_name = f"{raw_name}.{parse_compression(options.compression)[0]}"
        entry["zip_data"] = _file_info(zip_name, buffers, options.hashes)
    with atomic_write(Path(folder) / shard_basename(entry), "wb") as stream:
        stream.writelines(buffers)
    return entry


def shard_header(
    samples: int, sequence_length: int, dtype: np.dtype[Any], options: MdsOptions
) -> bytes:
    """Build the bytes of a shard that come before its samples."""
    settings = _settings_json(sequence_length, dtype, options)
    fixed_bytes = _LENGTH_BYTES + (samples + 1) * _OFFSET_BYTES + len(settings)
    offsets = np.arange(samples + 1, dtype=np.int64) * (sequence_length * dtype.itemsize)
    head = np.concatenate([[samples], offsets + fixed_bytes]).astype("<u4")
    return head.tobytes() + settings


def shard_settings(
    sequence_length: int, dtype: np.dtype[Any], options: MdsOptions
) -> dict[str, Any]:
    """Build what index.json and the header of every shard say about the format."""
    return {
        "version": 2,
        "format": "mds",
        "compression": options.compression,
        "hashes": list(options.hashes),
        "size_limit": options.size_limit,
        "column_names": [COLUMN],
        "column_encodings": [f"ndarray:{dtype.name}:{sequence_length}"],
        "column_sizes": [sequence_length * dtype.itemsize],
    }


def _settings_json(sequence_length: int, dtype: np.dtype[Any], options: MdsOptions) -> bytes:
    return json.dumps(shard_settings(sequence_length, dtype, options), sort_keys=True).encode()


def _token_bytes(
    token_files: Sequence[TokenFile],
    first_token: int,
    plan: ShardRange,
    sequence_length: int,
    dtype: np.dtype[Any],
) -> Iterator[memoryview]:
    """Yield the bytes of a shard's samples as slices of memory-mapped files."""
    ends = np.cumsum([file.tokens for file in token_files], dtype=np.int64)
    first = plan.first_sample * sequence_length - first_token
    last = first + plan.samples * sequence_length
    if plan.samples and (not len(ends) or ends[-1] < last):
        raise ValueError(f"shard {plan.number} ends {last} tokens on, after its token files")
    start = int(np.searchsorted(ends, first, side="right"))
    stop = int(np.searchsorted(ends, last, side="left")) + 1
    for file, end in zip(token_files[start:stop], ends[start:stop].tolist(), strict=True):
        if file.tokens:
            begin = end - file.tokens
            tokens = _map_tokens(file, dtype)[max(first - begin, 0) : last - begin]
            yield tokens.view(np.uint8).data


def _map_tokens(file: TokenFile, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    expected, found = file.tokens * dtype.itemsize, file.path.stat().st_size
    if expected != found:
        raise UserError(
            f"{file.path}: expected {file.tokens} tokens ({expected} bytes), found {found} bytes; "
            "delete the file and build again"
        )
    return np.memmap(file.path, dtype, mode="r")


def _file_info(
    name: str, buffers: Iterable[bytes | memoryview], hashes: Sequence[str]
) -> dict[str, Any]:
    buffers = list(buffers)
    return {
        "basename": name,
        "bytes": sum(len(buffer) for buffer in buffers),
        "hashes": {algorithm: file_digest(algorithm, buffers) for algorithm in hashes},
    }
