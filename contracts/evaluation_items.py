"""Parquet files with the values of single items, beside the record of a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mixscale.contracts.atomic import atomic_path
from mixscale.contracts.errors import UserError
from mixscale.contracts.evaluation import FOLDER, ItemValue, rows_of

VALIDATION = "validation.parquet"
"""The samples of the validation domains, at the end of a run."""
_SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("metric", pa.string()),
        ("item", pa.uint64()),
        ("item_sha256", pa.string()),
        ("value", pa.float64()),
        ("weight", pa.float64()),
    ]
)


def write_items(path: str | Path, items: Iterable[ItemValue]) -> None:
    """Write a row for each item and metric, atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(rows_of(items), schema=_SCHEMA), temporary)


def read_items(run: str | Path, settings: Iterable[str]) -> pa.Table:
    """Read the items of a run: those of validation domains, and of tasks that were asked so.

    Args:
        run: Folder of the run.
        settings: Hashes of what was asked of the tasks, as in the record.

    Raises:
        UserError: A file is damaged.
    """
    folder, wanted = Path(run) / FOLDER, set(settings)
    tables = [_SCHEMA.empty_table()]
    for path in sorted(folder.glob("[!.]*.parquet")):
        if path.name == VALIDATION or path.stem.rpartition("-")[2] in wanted:
            try:
                tables.append(pq.read_table(path).select(_SCHEMA.names).cast(_SCHEMA))
            except (pa.ArrowInvalid, OSError, KeyError) as error:
                raise UserError(
                    f"{path}: cannot be read: {str(error).splitlines()[0]}; remove it and the file "
                    "of its name in .json, and evaluate again"
                ) from error
    return pa.concat_tables(tables)
