"""Shard sets from Python: build one, ask about one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mixscale.api.rows import Rows
from mixscale.contracts.shardset import ShardSet
from mixscale.runtime.extras import require

Folder = str | os.PathLike[str]


@dataclass(frozen=True)
class BuiltShardSet:
    """A shard set on disk; it is a path for whatever takes one."""

    path: Path
    record: ShardSet
    """What `shardset.json` says."""

    def query(self, sql: str) -> Rows:
        """Answer one SQL query about it; see `mixscale.query`."""
        return query(self, sql)

    def __fspath__(self) -> str:
        """Its folder."""
        return str(self.path)

    def _repr_html_(self) -> str:
        return self.query("SELECT * FROM domains")._repr_html_()


def build(
    corpus: Folder,
    out: Folder,
    *,
    workers: int | None = None,
    executor: str = "local",
    strict: bool = False,
    max_malformed: str | float | None = None,
    upload: str | None = None,
    progress: bool = False,
) -> BuiltShardSet:
    """Make a shard set from raw text, as `mixscale build` does.

    Interrupted, the same call goes on where it stopped.

    Args:
        corpus: The file corpus.yaml.
        out: Folder of the shard set.
        workers: Processes at a time; one for each core when absent.
        executor: `local` or `ray`.
        strict: Stop at a record that cannot be read, instead of counting it.
        max_malformed: Stop when a larger share of a domain's records cannot be read: `1%`, 0.01.
        upload: Address to copy the shard set to afterwards: `s3://…`, `gs://…`, a folder.
        progress: Tell on standard error how far the build is.

    Raises:
        UserError: The settings, the inputs or the folder do not allow it, or an extra that the
            executor or the upload needs is not installed.
    """
    if executor == "ray":
        require("ray", "executor 'ray'")
    if upload is not None:
        require("train", "upload")
        from mixscale.shards.storage.upload import check_address

        check_address(upload)
    from mixscale.ingest.build import build as build_shardset

    record = build_shardset(
        Path(corpus), Path(out), workers=workers, executor=executor, strict=strict,
        max_malformed=max_malformed, progress=progress,
    )  # fmt: skip
    if upload is not None:
        from mixscale.shards.storage.upload import upload as copy_to

        copy_to(Path(out), upload)
    return BuiltShardSet(path=Path(out).absolute(), record=record)


def query(shardset: Folder, sql: str, *, out: Folder | None = None) -> Rows:
    """Answer one SQL query about a shard set, its runs and its fits.

    Args:
        shardset: Its folder, or what `build` returned.
        sql: One statement that reads; docs/reference/sql.md describes the views.
        out: Folder with `runs/`, `sweeps/` and `fits/`; the shard set's own when absent.

    Returns:
        The rows: `.arrow()`, `.df()` for pandas, `.pl()` for polars, `.rows()`.

    Raises:
        UserError: The query is wrong or would change something, or the folder is no shard set.
    """
    from mixscale.shards.sql.query import query_arrow

    return Rows(query_arrow(Path(shardset), sql, out=None if out is None else Path(out)))
