"""SQL over a shard set: one query, as a table, a file or Arrow data, or a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError, unknown_name
from mixscale.shards.sql.query_errors import query_error
from mixscale.shards.sql.read_only import check_read_only
from mixscale.shards.sql.result_formats import (
    FORMATS,
    WRITERS,
    Format,
    distinct_names,
    write_parquet,
)
from mixscale.shards.sql.unfinished import open_records

if TYPE_CHECKING:
    import pyarrow as pa


def query_arrow(folder: str | Path, query: str, *, out: str | Path | None = None) -> pa.Table:
    """Answer one query with an Arrow table; `.to_pandas()` of it is a data frame.

    Args:
        folder: The shard set.
        query: One statement that reads.
        out: Folder with `runs/`, `sweeps/` and `fits/`; the shard set's own when absent.

    Raises:
        UserError: The query is wrong or would change something, names two columns alike, or the
            folder is no shard set.
    """
    with open_records(folder, out=out) as connection:
        check_read_only(connection, query)
        try:
            table = connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise query_error(error, query) from error
    distinct_names(table.column_names)
    return table


def run_sql(
    folder: str | Path,
    query: str,
    *,
    format: Format = "table",
    output: str | Path | None = None,
    out: str | Path | None = None,
) -> int:
    """Answer one query, on standard output or into a file.

    Args:
        folder: The shard set.
        query: One statement that reads.
        format: `table` for people; `csv`, `json` (an array of objects) or `parquet`. JSON has no
            NaN or infinity: they become null.
        output: File to write, atomically; standard output when absent.
        out: Folder with `runs/`, `sweeps/` and `fits/`; the shard set's own when absent.

    Returns:
        The number of rows.

    Raises:
        UserError: The query is wrong or would change something, or the folder is no shard set.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    if format == "parquet" and output is None:
        raise UserError("format parquet: name a file to write with --output")
    with open_records(folder, out=out) as connection:
        return write_result(connection, query, format=format, output=output)


def write_result(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    *,
    format: Format = "table",
    output: str | Path | None = None,
) -> int:
    """Answer one query on an open index; see `run_sql`."""
    check_read_only(connection, query)
    try:
        if format == "parquet":
            assert output is not None
            return write_parquet(connection.sql(query), Path(output))
        result = connection.execute(query)
        if output is None:
            return WRITERS[format](result, sys.stdout)
        with atomic_write(output) as stream:
            return WRITERS[format](result, stream)
    except duckdb.Error as error:
        raise query_error(error, query) from error


def prompt(folder: str | Path, *, out: str | Path | None = None) -> None:
    """Ask for queries and answer them until the end of input; see `mixscale.shards.sql.prompt`.

    Raises:
        UserError: The folder is not a finished shard set.
    """
    from mixscale.shards.sql.prompt import run_prompt

    with open_records(folder, out=out) as connection:
        run_prompt(lambda query: write_result(connection, query), str(folder))
