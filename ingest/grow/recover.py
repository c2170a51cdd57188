"""Results of bundles taken back out of a finished shard set, so that growing reads new files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import ShardSet, read_shardset
from mixscale.ingest.grow.inputs import Inputs, file_key, read_inputs
from mixscale.ingest.grow.stream_tokens import kept_tokens
from mixscale.ingest.runtime.intermediate import (
    intermediate_path,
    read_completion,
    write_completion,
)
from mixscale.ingest.runtime.progress import stage
from mixscale.ingest.runtime.runner import Runner
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.stages.read import BundleSummary, ReadTask
from mixscale.ingest.unit_rows import (
    DUPLICATE,
    KEPT,
    NEAR_DUPLICATE,
    ROWS,
    STATUS,
    UNROUTED_RANK,
)
from mixscale.shards.sql.documents import DOCUMENTS, RECORD_COLUMNS
from mixscale.shards.storage.checksums import checksum_problems
from mixscale.shards.storage.mds_index import stream_sha256

pc: Any = pyarrow.compute  # makes its functions at run time, where no type checker sees them
_BATCH_ROWS = 1 << 10
_LARGE_ROWS = pa.schema(
    [field.with_type(pa.large_string()) if field.name == "meta" else field for field in ROWS]
)
"""The meta of a whole bundle may be more than one array of strings can hold."""
_NO_HASH = "0" * 32
_UNIT = "number of the unit"


@dataclass(frozen=True, kw_only=True)
class RecoverTask:
    """All that a worker needs to take back one bundle."""

    read: ReadTask
    """How the bundle would be read."""
    digests: tuple[str, ...]
    """Of the input bytes of its units."""
    documents: tuple[Path, ...]
    """Its Parquet files."""
    signatures: Path
    """Those of its texts, when the texts are signed."""
    out: Path
    sequence_length: int


def recover_units(
    work: Workspace, tasks: Sequence[ReadTask], sequence_length: int, run: Runner, *, progress: bool
) -> None:
    """Take the results of all bundles that a finished shard set holds out of it again.

    Args:
        work: The shard set.
        tasks: How all bundles would be read, those that are new too.
        sequence_length: Tokens in a sample.
        run: Runs the tasks.
        progress: Whether to show how far it is.

    Raises:
        UserError: The shard set is damaged.
    """
    shardset = read_shardset(work.out)
    _refuse_damage(work, shardset)
    if shardset.versions.get("encoder") != tasks[0].encoder.name:
        return
    recover_tasks = list(_recover_tasks(work, read_inputs(work), tasks, sequence_length))
    with stage("recovering", len(recover_tasks), "bundles", progress=progress) as advance:
        run(recover_bundle, recover_tasks, lambda *_: advance(1))


def _recover_tasks(
    work: Workspace, inputs: Inputs, tasks: Sequence[ReadTask], sequence_length: int
) -> Iterator[RecoverTask]:
    """Make the tasks of the bundles that are as they were and hold records."""
    digests = {
        (key, unit["start"]): unit["digest"]
        for key, file in inputs.files.items()
        for unit in file["units"]
    }
    known = {tuple(units): number for number, units in enumerate(inputs.units_by_bundle())}
    for task in tasks:
        units = tuple((file_key(unit), unit.start) for unit in task.units)
        number = known.get(units)
        documents = {} if number is None else inputs.bundles[number]["documents"]
        if number is None or not documents:
            continue
        yield RecoverTask(
            read=task,
            digests=tuple(digests[unit] for unit in units),
            documents=tuple(work.documents(name, part) for name, part in documents.items()),
            signatures=work.signatures(number),
            out=work.out,
            sequence_length=sequence_length,
        )


def _refuse_damage(work: Workspace, shardset: ShardSet) -> None:
    """Make sure that a shard set is what was built, before anything is taken out of it.

    Raises:
        UserError: It is not.
    """
    found = checksum_problems(work.out, shardset.files_sha256, shardset.streams)
    problems = [f"{name}: {message}" for name, message in found]
    for stream in shardset.streams:
        domain, split = stream.split("/")
        summary = shardset.domains[domain][split]  # pyright: ignore[reportArgumentType]
        if not problems and stream_sha256(work.out / stream) != summary.sha256:
            problems.append(f"{stream}: the shards are not the ones that were built")
    if problems:
        raise UserError(
            f"{work.out}: cannot grow, because it is damaged:\n  " + "\n  ".join(problems) + "\n"
            "put back what was changed, or build into another folder"
        )


def recover_bundle(task: RecoverTask) -> None:
    """Write what reading the bundle would have given, but for the tokens of duplicates.

    An exact copy that lost to an earlier record loses also when there are more records. A near
    duplicate may come back: then the bundle is read again.
    """
    if read_completion(task.read.completion) is not None:
        return
    documents = _documents(task)
    if documents is None:
        # Another version built it, with other columns: the bundle is read like a new one.
        return
    rows = _rows(documents, task)
    with intermediate_path(task.read.rows_path) as path, pa.ipc.new_file(str(path), ROWS) as writer:
        for start in range(0, rows.num_rows, _BATCH_ROWS):
            writer.write_table(rows.slice(start, _BATCH_ROWS).cast(ROWS))
    with intermediate_path(task.read.tokens_path) as path, path.open("wb") as stream:
        dtype = task.read.encoder.dtype
        for ids in kept_tokens(documents, task.out, task.sequence_length, dtype):
            stream.write(ids.data)
    with intermediate_path(task.read.signatures_path) as path:
        if task.read.settings.near is None:
            path.touch()
        else:
            shutil.copyfile(task.signatures, path)
    numbers = documents.column(_UNIT).to_numpy()
    summary = BundleSummary(
        unit_rows=tuple(np.bincount(numbers, minlength=len(task.read.units)).tolist()),
        tokens=int(documents.column("tokens").to_numpy().sum()),
        digests=task.digests,
    )
    write_completion(task.read.completion, asdict(summary), task.read.files)


def _documents(task: RecoverTask) -> pa.Table | None:
    """Read the bundle's rows in the order of its files; nothing if they have other columns."""
    tables = [pq.read_table(path) for path in task.documents]
    if any(table.schema.names != DOCUMENTS.names for table in tables):
        return None
    table = pa.concat_tables(tables)
    number = table.schema.get_field_index("meta")
    table = table.set_column(number, "meta", table.column(number).cast(pa.large_string()))
    files = pa.array([unit.file.name for unit in task.read.units], pa.string())
    numbers = pc.index_in(table.column("source_file"), value_set=files).cast(pa.int64())
    table = table.append_column(_UNIT, numbers)
    order = [(_UNIT, "ascending"), ("source_row", "ascending")]
    return table.sort_by(order).combine_chunks()


def _rows(documents: pa.Table, task: RecoverTask) -> pa.Table:
    ranks = {rule.domain: rank for rank, rule in enumerate(task.read.settings.rules)}
    names = documents.column("domain").to_pylist()
    digests = documents.column("doc_id").fill_null(_NO_HASH).to_pylist()
    halves = np.frombuffer(bytes.fromhex("".join(digests)), ">u8").astype(np.uint64).reshape(-1, 2)
    status = np.array([STATUS.index(s) for s in documents.column("status").to_pylist()], np.uint8)
    # Where the other copy is comes anew from the comparison of all units.
    details = documents.column("detail").to_pylist()
    copies = (DUPLICATE, NEAR_DUPLICATE)
    detail = [None if s in copies else d for s, d in zip(status.tolist(), details, strict=True)]
    status[status == NEAR_DUPLICATE] = KEPT
    columns: dict[str, Any] = {
        "domain": [ranks.get(name, UNROUTED_RANK) for name in names],
        "high": halves[:, 0],
        "low": halves[:, 1],
        "status": status,
        "detail": detail,
        **{column.name: documents.column(column.name) for column in RECORD_COLUMNS},
        "tokens": documents.column("tokens"),
        "meta": documents.column("meta"),
    }
    return pa.table(columns, schema=_LARGE_ROWS)
