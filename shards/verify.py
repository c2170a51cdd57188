"""Proof that a shard set is whole: files against hashes, documents against samples."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.atomic import TEMPORARY_PREFIX
from contracts.errors import UserError
from contracts.shardset import ShardSet, SplitSummary, read_shardset
from shards import checks
from shards.compression import decompress
from shards.index import FILE_NAME, is_current, open_index
from shards.mds import (
    INDEX,
    MdsOptions,
    combined_sha256,
    file_digest,
    index_json,
    read_entries,
    shard_basename,
    shard_header,
    token_dtype,
)

# A shard is in memory as it is stored, decompressed, and as token ids.
_THREADS = min(4, os.cpu_count() or 1)


class Problem(NamedTuple):
    """Something that is not as it should be."""

    place: str
    """File or stream, relative to the shard set."""
    message: str


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What was looked at and what is wrong with it."""

    problems: tuple[Problem, ...]
    """Empty when the shard set is sound."""
    streams: int
    shards: int
    shard_bytes: int
    """Bytes of the shard files that were read."""
    records: int
    """Rows of the documents table."""

    @property
    def ok(self) -> bool:
        """Whether the shard set is sound."""
        return not self.problems


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """One shard of a stream, as index.json lists it, and where documents end in it."""

    place: str
    path: Path
    entry: dict[str, Any]
    header: bytes
    """The bytes that must come before its samples."""
    ends: np.ndarray[Any, Any]
    """Tokens of the shard that must be the end-of-text token, counted in it from 0."""


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """What reading one shard showed."""

    name: str
    sha256: str
    bytes: int
    problems: tuple[Problem, ...]


def verify(folder: str | Path, *, progress: bool = True) -> VerifyReport:
    """Check every byte and every count of a shard set.

    Args:
        folder: The shard set.
        progress: Show a bar on standard error.

    Raises:
        UserError: The folder is not a finished shard set.
    """
    root = Path(folder)
    shardset = read_shardset(root)
    problems = list(_index_problems(root))
    try:
        with open_index(root) as connection:
            records = checks.count_records(connection)
            problems += _document_problems(root, shardset, connection)
            ends = checks.document_ends(connection)
    except duckdb.Error as error:
        problems.append(Problem("documents", str(error).splitlines()[0]))
        records, ends = 0, {}
    streams = [
        _Stream(root, shardset, domain, split, ends.get((domain, split)))
        for domain, splits in shardset.domains.items()
        for split in splits
    ]
    shards = [shard for stream in streams for shard in stream.shards]
    with ThreadPoolExecutor(_THREADS) as pool:
        checked = list(_tracked(pool.map(lambda s: _check_shard(s, shardset), shards), len(shards), progress))
    return VerifyReport(
        problems=tuple(problems),
        streams=len(streams),
        shards=len(shards),
        shard_bytes=sum(shard.bytes for shard in checked),
        records=records,
    )
