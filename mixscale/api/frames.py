"""Tables of any kind, read by column."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.errors import UserError

Frame = Any
"""A path to CSV or Parquet; whatever hands out Arrow data (an Arrow table, a pandas or polars
frame, `Rows`); a mapping from names to columns; or a list of mappings, one for each row."""
_INDEX = "__index_level_"
"""What pyarrow calls an index of pandas that has no name."""


def read_frame(frame: Frame, name: str) -> dict[str, list[Any]]:
    """Read a table by column.

    Args:
        frame: See `Frame`. A single value counts as a column of one row.
        name: What the table is called, for messages.

    Raises:
        UserError: It is no table, or has no rows.
    """
    if isinstance(frame, str | os.PathLike):
        from mixscale.fit.inputs.tables import read_table

        return read_table(Path(frame))
    if hasattr(frame, "__arrow_c_stream__"):
        columns = _from_arrow(frame)
    elif isinstance(frame, Mapping):
        columns = {str(key): np.atleast_1d(column).tolist() for key, column in frame.items()}
    else:
        columns = _from_rows(frame, name)
    lengths = {len(column) for column in columns.values()}
    if lengths in (set(), {0}):
        raise UserError(f"{name}: the table has no rows")
    if len(lengths) > 1:
        raise UserError(f"{name}: the columns differ in length: {sorted(lengths)}")
    return columns


def _from_arrow(frame: Any) -> dict[str, list[Any]]:
    import pyarrow as pa

    table = pa.table(frame)
    names = [column for column in table.column_names if not column.startswith(_INDEX)]
    return {column: table.column(column).to_pylist() for column in names}


def _from_rows(frame: Any, name: str) -> dict[str, list[Any]]:
    rows = list(frame) if isinstance(frame, Iterable) else None
    if rows is None or not all(isinstance(row, Mapping) for row in rows):
        raise UserError(
            f"{name}: {type(frame).__name__} is no table; give a path to CSV or Parquet, an Arrow "
            "table, a data frame, a mapping from names to columns, or a list of mappings"
        )
    columns = dict.fromkeys(column for row in rows for column in row)
    return {str(column): [row.get(column) for row in rows] for column in columns}
