"""Results of units taken back out of a finished shard set, so that growing reads only new files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import ShardSet, read_shardset
from mixscale.ingest.decisions import Decisions
from mixscale.ingest.grow.inputs import file_key, read_inputs
from mixscale.ingest.grow.stream_tokens import kept_tokens
from mixscale.ingest.runtime.intermediate import (
    intermediate_path,
    read_completion,
    write_completion,
)
from mixscale.ingest.runtime.progress import stage
from mixscale.ingest.runtime.runner import Runner
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.stages.read import ReadTask, UnitSummary
from mixscale.ingest.unit_rows import (
    DUPLICATE,
    KEPT,
    NEAR_DUPLICATE,
    ROWS,
    STATUS,
    UNROUTED_RANK,
    read_columns,
)
from mixscale.shards.sql.documents import DOCUMENTS, RECORD_COLUMNS
from mixscale.shards.storage.checksums import checksum_problems
from mixscale.shards.storage.mds_index import stream_sha256

_BATCH_ROWS = 1 << 10
_LARGE_ROWS = pa.schema(
    [field.with_type(pa.large_string()) if field.name == "meta" else field for field in ROWS]
)
"""The meta of a whole unit may be more than one array of strings can hold."""
_NO_HASH = "0" * 32


@dataclass(frozen=True, kw_only=True)
class RecoverTask:
    """All that a worker needs to take back one unit."""

    read: ReadTask
    """How the unit would be read."""
    digest: str
    """Of its input bytes."""
    documents: tuple[Path, ...]
    """Its Parquet files."""
    signatures: Path
    """Those of its texts, when the texts are signed."""
    out: Path
    sequence_length: int


def recover_units(
    work: Workspace, tasks: Sequence[ReadTask], sequence_length: int, run: Runner, *, progress: bool
) -> None:
    """Take the results of all units that a finished shard set holds out of it again.

    Args:
        work: The shard set.
        tasks: How all units would be read, those that are new too.
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
    units = [(key, unit) for key, file in read_inputs(work).items() for unit in file["units"]]
    known = {(key, unit["start"]): (number, unit) for number, (key, unit) in enumerate(units)}
    found = [(task, known.get((file_key(task.unit), task.unit.start))) for task in tasks]
    recover_tasks = [
        RecoverTask(
            read=task,
            digest=known_unit[1]["digest"],
            documents=tuple(
                work.documents(name, number) for name, number in known_unit[1]["documents"].items()
            ),
            signatures=work.signatures(known_unit[0]),
            out=work.out,
            sequence_length=sequence_length,
        )
        for task, known_unit in found
        if known_unit is not None and known_unit[1]["documents"]
    ]
    with stage("recovering", len(recover_tasks), "units", progress=progress) as advance:
        run(recover_unit, recover_tasks, lambda *_: advance(1))


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


def recover_unit(task: RecoverTask) -> None:
    """Write what reading the unit would have given, but for the tokens of duplicates.

    An exact copy that lost to an earlier record loses also when there are more records. A near
    duplicate may come back: then the unit is read again.
    """
    if read_completion(task.read.completion) is not None:
        return
    documents = _documents(task)
    if documents.schema.names != DOCUMENTS.names:
        # Another version built it, with other columns: the unit is read like a new one.
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
    summary = UnitSummary(
        rows=rows.num_rows,
        tokens=int(documents.column("tokens").to_numpy().sum()),
        digest=task.digest,
    )
    write_completion(task.read.completion, asdict(summary), task.read.files)


def lacks_tokens(task: ReadTask, number: int, decisions: Decisions) -> bool:
    """Return whether a unit's results miss the tokens of a record that is kept.

    Args:
        task: The unit.
        number: Its number among all units.
        decisions: About the records of all units.
    """
    if task.settings.near is None:
        return False
    # A kept text has its end-of-text token at least.
    (tokens,) = read_columns(task.rows_path, "tokens")
    is_kept = decisions.status()[decisions.unit(number)] == KEPT
    return bool((is_kept & (tokens == 0)).any())


def _documents(task: RecoverTask) -> pa.Table:
    """Read the unit's rows in the order of its file."""
    tables = [pq.read_table(path) for path in task.documents]
    if tables[0].schema.names != DOCUMENTS.names:
        return tables[0]
    table = pa.concat_tables(tables)
    number = table.schema.get_field_index("meta")
    table = table.set_column(number, "meta", table.column(number).cast(pa.large_string()))
    return table.sort_by("source_row").combine_chunks()


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
