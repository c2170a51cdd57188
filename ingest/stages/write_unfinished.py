"""The records of a build that refuses its input, written down for people to look at."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixscale.contracts.atomic import atomic_path
from mixscale.ingest.corpus import UNROUTED
from mixscale.ingest.runtime.runner import Runner
from mixscale.ingest.stages.row_tasks import BundleRows, bundle_rows
from mixscale.ingest.stages.unit_places import UnitPlaces
from mixscale.ingest.unit_rows import STATUS
from mixscale.shards.sql.documents import DOCUMENTS

_SLICE_ROWS = 1 << 12
_NULLABLE = pa.schema([field.with_nullable(True) for field in DOCUMENTS])


@dataclass(frozen=True, kw_only=True)
class UnfinishedTask:
    """Some bundles whose records go into one Parquet file."""

    rows: BundleRows
    places: UnitPlaces
    domains: tuple[str, ...]
    path: Path


def write_unfinished(
    rows_paths: Sequence[Path],
    rows: Sequence[int],
    places: UnitPlaces,
    domains: Sequence[str],
    folder: Path,
    run: Runner,
) -> None:
    """Write what is known of all records as far as `documents` would have it.

    Args:
        rows_paths: The Arrow file of every bundle, in order.
        rows: How many rows each has.
        places: Where the rows come from.
        domains: Names of the domains in order.
        folder: Gets the Parquet files; it appears when all of them are there.
        run: Runs the tasks.
    """
    unfinished = folder.with_name(f"{folder.name}.new")
    for old in (unfinished, folder):
        shutil.rmtree(old, ignore_errors=True)
    unfinished.mkdir(parents=True)
    tasks = [
        UnfinishedTask(
            rows=some,
            places=places,
            domains=tuple(domains),
            path=unfinished / f"part-{number:05}.parquet",
        )
        for number, some in enumerate(bundle_rows(rows_paths, rows))
    ]
    run(_write, tasks, lambda *_: None)
    unfinished.rename(folder)


def _write(task: UnfinishedTask) -> None:
    names = pa.array([*task.domains, UNROUTED], pa.string())
    with (
        atomic_path(task.path) as temporary,
        pq.ParquetWriter(temporary, _NULLABLE, compression="zstd") as writer,
    ):
        for _, first, rows in task.rows.slices(size=_SLICE_ROWS):
            writer.write_table(_documents(rows, first, names, task.places))


def _documents(rows: pa.Table, first: int, names: pa.Array, places: UnitPlaces) -> pa.Table:
    files, numbers = places.find(np.arange(first, first + rows.num_rows))
    rank = rows.column("domain").to_numpy().astype(np.int64)
    rank[rank < 0] = len(names) - 1
    known: dict[str, Any] = {
        "domain": names.take(pa.array(rank)),
        "source_file": files,
        "source_row": numbers.astype(np.uint64),
        "status": pa.array(STATUS, pa.string()).take(pa.array(rows.column("status").to_numpy())),
    }
    columns: list[Any] = []
    for field in _NULLABLE:
        if field.name in known:
            columns.append(pa.array(known[field.name], field.type))
        elif field.name in rows.column_names:
            columns.append(rows.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(rows.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=_NULLABLE)
