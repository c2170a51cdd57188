"""SQL that reads Parquet files as rows, typed by the pydantic model of a row."""

from __future__ import annotations

from pydantic import BaseModel

from mixscale.shards.sql.json_rows import rows_or_none
from mixscale.shards.sql.json_types import column_types

_OPTIONS = "allow_empty = true, filename = true"


def parquet_rows(pattern: str, model: type[BaseModel]) -> str:
    """Write a subquery with the rows of Parquet files, the columns of a model, and `filename`.

    No file is a table without rows.

    Args:
        pattern: `$name` of a file pattern (`mixscale.shards.sql.file_patterns`).
        model: What a row is.
    """
    return rows_or_none(pattern, column_types(model), f"read_parquet({pattern}, {_OPTIONS})")
