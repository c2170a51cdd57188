"""The records of a folder, whether it is a shard set or a build that refused its input."""

from __future__ import annotations

from pathlib import Path

import duckdb

from mixscale.contracts.shardset import FILE_NAME
from mixscale.shards.sql.documents import UNFINISHED_DOCUMENTS
from mixscale.shards.sql.index import lock, open_index
from mixscale.shards.sql.quoting import escape_glob, literal
from mixscale.shards.sql.views import VIEWS

_VIEWS = ("documents", "rejects", "duplicates")


def open_records(folder: str | Path, *, out: str | Path | None = None) -> duckdb.DuckDBPyConnection:
    """Connect to a shard set, or to the records of a build that refused its input, read-only.

    Args:
        folder: Where the build writes.
        out: Folder with `runs/`, `sweeps/` and `fits/`; the shard set's own when absent.

    Raises:
        UserError: The folder is neither.
    """
    root = Path(folder).resolve()
    records = root / UNFINISHED_DOCUMENTS
    if (root / FILE_NAME).is_file() or not records.is_dir():
        return open_index(folder, out=out)
    connection = duckdb.connect(":memory:")
    pattern = literal(f"{escape_glob(records)}/*.parquet")
    connection.execute(f"CREATE VIEW records AS FROM read_parquet({pattern})")
    for name in _VIEWS:
        sql = VIEWS[name].sql.replace("$documents", "records").replace("$$", "$")
        connection.execute(f"CREATE VIEW {name} AS {sql}")
    lock(connection, (root,))
    return connection
