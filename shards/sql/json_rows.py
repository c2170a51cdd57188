"""SQL that reads JSON files as rows, typed by the pydantic model of the file."""

from __future__ import annotations

import re
from collections.abc import Collection

from pydantic import BaseModel

from mixscale.shards.sql.json_types import JSON, column_types
from mixscale.shards.sql.quoting import identifier, literal

_END = "/*end*/"


def json_rows(pattern: str, model: type[BaseModel], fields: Collection[str] | None = None) -> str:
    """Write a subquery with a row for each JSON file, its fields as columns, and `filename`.

    A field that a file lacks is null, and one that the model lacks is ignored: records of older
    and newer versions can be read. No file is a table without rows.

    Args:
        pattern: `$name` of a file pattern (`mixscale.shards.sql.file_patterns`).
        model: The schema of the files.
        fields: The fields wanted; all when absent.
    """
    types = column_types(model, fields)
    given = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    return rows_or_none(pattern, types, f"read_json({pattern}, columns = {{{given}}}, {_OPTIONS})")


def whole_json_rows(pattern: str) -> str:
    """Write a subquery with a row for each JSON file: the column `json`, and `filename`."""
    return rows_or_none(pattern, {"json": JSON}, f"read_json_objects({pattern}, {_OPTIONS})")


_OPTIONS = "format = 'unstructured', allow_empty = true, filename = true"


def rows_or_none(pattern: str, types: dict[str, str], source: str) -> str:
    """Write a subquery over files that may be none; what comes out has these columns either way.

    Args:
        pattern: `$name` of a file pattern.
        types: DuckDB's type of each column.
        source: The table function that reads the files.
    """
    # Without a file, DuckDB drops the columns that it was given; the empty table keeps them.
    typed = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in types.items())
    return f"""(
    SELECT {typed}, NULL::VARCHAR AS filename WHERE false
    /*if {pattern.removeprefix("$")}*/UNION ALL BY NAME FROM {source}{_END})"""


def without_files(sql: str, absent: Collection[str]) -> str:
    """Rewrite a view's SQL for DuckDB 1, which has no `allow_empty`.

    Args:
        sql: The view.
        absent: File patterns that match nothing; what reads them is left out.
    """
    for name in absent:
        sql = re.sub(rf"/\*if {name}\*/.*?/\*end\*/", "", sql, flags=re.DOTALL)
    return sql.replace("allow_empty = true, ", "")
