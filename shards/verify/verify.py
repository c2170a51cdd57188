"""Checks a shard set: its files against their hashes, its documents against its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixscale.contracts.atomic import TEMPORARY_PREFIX
from mixscale.contracts.shardset import FILE_NAME as SHARDSET
from mixscale.contracts.shardset import ShardSet, content_sha256, folder_sha256, read_shardset
from mixscale.shards.sql.index import FILE_NAME, is_current, open_views
from mixscale.shards.storage.checksums import checksum_problems
from mixscale.shards.storage.mds_index import INDEX
from mixscale.shards.verify.documents import count_records, document_problems, last_tokens
from mixscale.shards.verify.problem import Problem
from mixscale.shards.verify.shards import ShardReport, check_shard
from mixscale.shards.verify.streams import (
    Stream,
    Tokens,
    content_problems,
    list_shards,
)

if TYPE_CHECKING:
    from rich.progress import Progress

# Every thread holds one shard: as stored, and decompressed.
_THREADS = min(4, os.cpu_count() or 1)
_BATCH_ROWS = 65536


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What was looked at and what is wrong with it."""

    problems: tuple[Problem, ...]
    """Empty when the shard set is sound."""
    records: int
    """Rows of the documents table."""
    streams: int
    shards: int
    """Shard files read."""
    shard_bytes: int
    """Their bytes on disk."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


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
    problems = [
        *_summary_problems(root, shardset),
        *_file_problems(root, shardset),
        *_index_problems(root),
        *_unlisted_streams(root, shardset),
    ]
    damaged = list(_parquet_problems(root))
    problems += damaged
    with open_views(root) as connection, _progress_bar(enabled=progress) as bar:
        if not damaged:
            problems += _document_problems(connection, shardset)
        streams = _check_streams(root, shardset, None if damaged else connection, bar)
        records = 0 if damaged else count_records(connection)
    return VerifyReport(
        problems=tuple(problems + [p for stream in streams for p in stream.problems]),
        records=records,
        streams=len(streams),
        shards=sum(stream.shards for stream in streams),
        shard_bytes=sum(stream.shard_bytes for stream in streams),
    )


@dataclass(frozen=True, kw_only=True)
class _StreamReport:
    problems: tuple[Problem, ...]
    shards: int
    shard_bytes: int


def _check_streams(
    root: Path, shardset: ShardSet, connection: duckdb.DuckDBPyConnection | None, bar: Progress
) -> list[_StreamReport]:
    total = sum(s.shards for splits in shardset.domains.values() for s in splits.values())
    task = bar.add_task("shards", total=total)
    with ThreadPoolExecutor(_THREADS) as pool:
        return [
            _check_stream(
                Stream(
                    root=root,
                    shardset=shardset,
                    domain=domain,
                    split=split,
                    last_tokens=_last_tokens(connection, domain, split),
                ),
                pool,
                lambda: bar.advance(task),
            )
            for domain, splits in shardset.domains.items()
            for split in splits
        ]


def _check_stream(
    stream: Stream, pool: ThreadPoolExecutor, tick: Callable[[], None]
) -> _StreamReport:
    shards, problems = list_shards(stream)
    reports: list[ShardReport] = []
    for report in pool.map(check_shard, shards):
        reports.append(report)
        tick()
    problems += (problem for report in reports for problem in report.problems)
    problems += content_problems(stream, ((report.name, report.sha256) for report in reports))
    return _StreamReport(
        problems=tuple(problems),
        shards=len(reports),
        shard_bytes=sum(report.bytes for report in reports),
    )


def _last_tokens(connection: duckdb.DuckDBPyConnection | None, domain: str, split: str) -> Tokens:
    """Give where documents end, or nothing when the documents cannot be read."""
    if connection is None:
        return np.array([], np.int64)
    return last_tokens(connection, domain, split)


def _summary_problems(root: Path, shardset: ShardSet) -> Iterator[Problem]:
    """Check the hashes in shardset.json that are made of others."""
    tokenizer = shardset.tokenizer
    if shardset.sealed().sha256 != shardset.sha256:
        yield Problem(SHARDSET, "damaged: its own hash is not the one that was written")
    if content_sha256(tokenizer.sha256, shardset.domains) != shardset.content_sha256:
        yield Problem(SHARDSET, "content_sha256 is not the hash over its streams and tokenizer")
    folder = root / tokenizer.path
    if not folder.is_dir():
        yield Problem(tokenizer.path, "no such folder")
    elif folder_sha256(folder) != tokenizer.sha256:
        yield Problem(tokenizer.path, "is not the tokenizer that the shards were made with")


def _file_problems(root: Path, shardset: ShardSet) -> Iterator[Problem]:
    for name, message in checksum_problems(root, shardset.files_sha256, shardset.streams):
        yield Problem(name, message)


def _index_problems(root: Path) -> Iterator[Problem]:
    path = root / FILE_NAME
    if path.is_file() and not is_current(root):
        yield Problem(
            FILE_NAME, "stale or damaged; delete it, or any `mixscale sql` makes it again"
        )


def _unlisted_streams(root: Path, shardset: ShardSet) -> Iterator[Problem]:
    listed = {(domain, split) for domain, splits in shardset.domains.items() for split in splits}
    for path in sorted(root.glob(f"*/*/{INDEX}")):
        domain, split = path.parts[-3:-1]
        if (domain, split) not in listed:
            yield Problem(f"{domain}/{split}", "extra stream, not in shardset.json")


def _parquet_problems(root: Path) -> Iterator[Problem]:
    """Read every page of the documents table, with its checksum where it has one."""
    for path in sorted(root.glob("documents/*/*.parquet")):
        place = path.relative_to(root).as_posix()
        if path.name.startswith(TEMPORARY_PREFIX):
            yield Problem(place, "left by an interrupted write; delete it")
            continue
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for _ in file.iter_batches(_BATCH_ROWS):
                    pass
        except (OSError, pa.ArrowException) as error:
            yield Problem(place, f"cannot read: {str(error).splitlines()[0]}")


def _document_problems(
    connection: duckdb.DuckDBPyConnection, shardset: ShardSet
) -> Iterator[Problem]:
    try:
        yield from document_problems(connection, shardset)
    except duckdb.Error as error:
        yield Problem("documents", str(error).splitlines()[0])


def _progress_bar(*, enabled: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not enabled,
        transient=True,
    )
