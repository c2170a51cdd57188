"""The answer to a query as a table for people, CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal

import duckdb
import orjson

from mixscale.contracts.atomic import atomic_path
from mixscale.contracts.errors import UserError

Format = Literal["table", "csv", "json", "parquet"]
FORMATS: tuple[Format, ...] = ("table", "csv", "json", "parquet")
_BATCH_ROWS = 2048
_PRINTABLE = frozenset(range(0x20, 0x7F)) - frozenset(b"\\'\"")
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1


def write_parquet(result: duckdb.DuckDBPyRelation, path: Path) -> int:
    """Write a result as a Parquet file, atomically, and count its rows."""
    import pyarrow.parquet as pq

    reader = result.to_arrow_reader()
    distinct_names(reader.schema.names)
    count = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(_BATCH_ROWS):
        yield from rows


def _columns(result: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return [(column[0], str(column[1])) for column in result.description or ()]


def _write_table(result: duckdb.DuckDBPyConnection, stream: IO[str]) -> int:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    columns, rows = _columns(result), list(_rows(result))
    table = Table(header_style="bold")
    for index, (name, _) in enumerate(columns):
        numbers = all(isinstance(row[index], int | float | None) for row in rows)
        table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console(file=stream, markup=False, highlight=False)
    if not console.is_terminal:
        # Nothing wraps in a file or a pipe: every row is one line.
        natural = Measurement.get(console, console.options.update(max_width=1 << 20), table)
        console = Console(file=stream, markup=False, highlight=False, width=natural.maximum)
    console.print(table)
    console.print(f"{len(rows)} row{'s' * (len(rows) != 1)}")
    return len(rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple | dict):
        return _nested(value)
    return f"{value:.6g}" if isinstance(value, float) else str(_printable(value))


def _nested(value: Any) -> str:
    """Write a list or a struct as DuckDB does; texts as they are in the data."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, dict):
        items = (f"{_nested(key)}: {_nested(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list | tuple):
        open_, close = "[]" if isinstance(value, list) else "()"
        return f"{open_}{', '.join(map(_nested, value))}{close}"
    return str(_printable(value))


def _printable(value: Any) -> Any:
    """Write bytes as DuckDB does; other values stay as they are."""
    if not isinstance(value, bytes):
        return value
    plain = (chr(byte) if byte in _PRINTABLE else f"\\x{byte:02X}" for byte in value)
    return "".join(plain)


def _write_csv(result: duckdb.DuckDBPyConnection, stream: IO[str]) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(name for name, _ in _columns(result))
    count = 0
    for row in _rows(result):
        writer.writerow(
            _json_text(v) if isinstance(v, list | tuple | dict) else _printable(v) for v in row
        )
        count += 1
    return count


def _write_json(result: duckdb.DuckDBPyConnection, stream: IO[str]) -> int:
    columns = _columns(result)
    names = distinct_names(name for name, _ in columns)
    are_json = [kind == "JSON" for _, kind in columns]
    count = 0
    stream.write("[")
    for count, row in enumerate(_rows(result), 1):
        values = (json.loads(v) if j and v else v for v, j in zip(row, are_json, strict=True))
        stream.write("\n" if count == 1 else ",\n")
        stream.write(_json_text(dict(zip(names, values, strict=True))))
    stream.write("\n]\n" if count else "]\n")
    return count


def _json_text(value: Any) -> str:
    plain = _json_value(value)
    return orjson.dumps(plain, default=str, option=orjson.OPT_PASSTHROUGH_DATETIME).decode("utf-8")


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        # A number with all its digits.
        return orjson.Fragment(format(value, "f").encode())
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        return orjson.Fragment(str(value).encode())
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return _printable(value)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Give the names of columns as a list.

    Raises:
        UserError: Two are the same.
    """
    listed = list(names)
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise UserError(f"columns named twice: {', '.join(twice)}; give each its own AS name")
    return listed


WRITERS = {"table": _write_table, "csv": _write_csv, "json": _write_json}
"""Writes a result as text and counts its rows, by format."""
