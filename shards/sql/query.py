"""SQL over a shard set for people: one query, or a prompt."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

import duckdb

from mixscale.contracts.atomic import atomic_path, atomic_write
from mixscale.contracts.errors import UserError, unknown_name
from mixscale.shards.sql.examples import EXAMPLES, Example
from mixscale.shards.sql.index import open_index
from mixscale.shards.sql.views import EXPLAIN_PLAN, MACROS, VIEWS

__all__ = [
    "EXAMPLES",
    "FORMATS",
    "Example",
    "Format",
    "check_read_only",
    "prompt",
    "run_sql",
    "write_result",
]

Format = Literal["table", "csv", "json", "parquet"]
FORMATS: tuple[Format, ...] = ("table", "csv", "json", "parquet")
_BATCH_ROWS = 2048

# Operators that change something. A SELECT can hold them: WITH x AS (COPY ... TO 'file') is one.
_CHANGES = re.compile(r"COPY|INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|DROP|ATTACH|EXPORT|VACUUM")
# Nothing but these words before the query, so that what is checked is what will run.
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?(?=\w)", re.IGNORECASE)


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
    with open_index(folder, out=out) as connection:
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
            return _write_parquet(connection.sql(query), Path(output))
        result = connection.execute(query)
        if output is None:
            return _WRITERS[format](result, sys.stdout)
        with atomic_write(output) as stream:
            return _WRITERS[format](result, stream)
    except duckdb.Error as error:
        raise query_error(error, query) from error


def check_read_only(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse everything but one statement that only reads.

    DuckDB's own settings lock what a connection can reach, but let `COPY ... TO` write wherever
    it may read. The plan of a statement shows every operator in it, however deeply it is nested.

    Raises:
        UserError: The query is wrong, changes something, or is not exactly one statement.
    """
    try:
        statement = _only_statement(connection, query)
        if statement.type == duckdb.StatementType.EXPLAIN:
            # EXPLAIN ANALYZE runs what it explains.
            explained = _EXPLAIN.match(query)
            statement = _only_statement(connection, query[explained.end() if explained else 0 :])
    except duckdb.Error as error:
        raise query_error(error, query) from error
    if statement.type == duckdb.StatementType.MULTI:
        raise UserError("PIVOT: list its values, PIVOT ... ON column IN (...)")
    if statement.type != duckdb.StatementType.SELECT:
        raise UserError(f"{statement.type.name}: refused; queries here can only read")
    for operator in _plan_operators(connection, statement.query):
        if _CHANGES.search(operator):
            raise UserError(f"{operator}: refused; queries here can only read")


def query_error(error: duckdb.Error, query: str) -> UserError:
    """Turn DuckDB's complaint into ours, with the names that could have been meant."""
    message = str(error).strip()
    if re.search(r"Table with name \S+ does not exist", message):
        return UserError(f"{message}\nTables: {', '.join(VIEWS)}")
    if "Function with name" in message:
        calls = (f"{name}({', '.join(macro.parameters)})" for name, macro in MACROS.items())
        return UserError(f"{message}\nMacros of the index: {', '.join(calls)}")
    if isinstance(error, duckdb.BinderException) and "column" in message.lower():
        used = [name for name in VIEWS if re.search(rf"\b{name}\b", query, re.IGNORECASE)]
        columns = (f"Columns of {name}: {', '.join(VIEWS[name].columns)}" for name in used)
        return UserError("\n".join([message, *columns]))
    return UserError(message)


def prompt(folder: str | Path, *, out: str | Path | None = None) -> None:
    """Ask for queries and answer them until the end of input; see `mixscale.shards.sql.prompt`.

    Raises:
        UserError: The folder is not a finished shard set.
    """
    from mixscale.shards.sql.prompt import converse

    with open_index(folder, out=out) as connection:
        converse(lambda query: write_result(connection, query), str(folder))


def _plan_operators(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[str]:
    """Name the operators of a query's plan."""
    try:
        plan = connection.execute(f"{EXPLAIN_PLAN}\n{query}").fetchall()
    except duckdb.Error as error:
        lines = re.sub(r"(?m)^LINE (\d+)", lambda at: f"LINE {int(at[1]) - 1}", str(error))
        raise query_error(type(error)(lines), query) from error
    nodes = json.loads(plan[0][1])
    while nodes:
        node = nodes.pop()
        yield node["name"]
        nodes.extend(node["children"])


def _only_statement(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise UserError(f"expected one SQL statement, found {len(statements)}")
    return statements[0]


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(_BATCH_ROWS):
        yield from rows


def _columns(result: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return [(column[0], str(column[1])) for column in result.description or ()]


def _write_table(result: duckdb.DuckDBPyConnection, stream: IO[str]) -> int:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    columns, rows = _columns(result), list(_rows(result))
    table = Table(header_style="bold")
    for index, (name, _) in enumerate(columns):
        numbers = all(isinstance(row[index], int | float | None) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    console = Console(file=stream, markup=False, highlight=False)
    if not console.is_terminal:
        # Nothing wraps in a file or a pipe: every row is one line.
        natural = Measurement.get(console, console.options.update(max_width=1 << 20), table)
        console = Console(file=stream, markup=False, highlight=False, width=natural.maximum)
    console.print(table)
    console.print(f"{len(rows)} row{'s' * (len(rows) != 1)}")
    return len(rows)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


def _write_csv(result: duckdb.DuckDBPyConnection, stream: IO[str]) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(name for name, _ in _columns(result))
    count = 0
    for row in _rows(result):
        writer.writerow(json.dumps(v) if isinstance(v, list | dict) else v for v in row)
        count += 1
    return count


def _write_json(result: duckdb.DuckDBPyConnection, stream: IO[str]) -> int:
    columns = _columns(result)
    names = _distinct(name for name, _ in columns)
    are_json = [kind == "JSON" for _, kind in columns]
    count = 0
    stream.write("[")
    for count, row in enumerate(_rows(result), 1):
        values = (json.loads(v) if j and v else v for v, j in zip(row, are_json, strict=True))
        record = dict(zip(names, map(_json_value, values), strict=True))
        stream.write("\n" if count == 1 else ",\n")
        stream.write(json.dumps(record, ensure_ascii=False, default=str))
    stream.write("\n]\n" if count else "]\n")
    return count


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    return value


def _write_parquet(result: duckdb.DuckDBPyRelation, path: Path) -> int:
    import pyarrow.parquet as pq

    reader = result.to_arrow_reader()
    _distinct(reader.schema.names)
    count = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _distinct(names: Iterable[str]) -> list[str]:
    listed = list(names)
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise UserError(f"columns named twice: {', '.join(twice)}; give each its own AS name")
    return listed


_WRITERS = {"table": _write_table, "csv": _write_csv, "json": _write_json}
