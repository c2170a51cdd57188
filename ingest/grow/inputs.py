"""`inputs.json`: the files a shard set was built from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mixscale.contracts.atomic import write_json
from mixscale.contracts.errors import UserError
from mixscale.ingest.readers.source_file import Unit
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.stages.read import ReadTask, UnitSummary


def record_inputs(
    work: Workspace,
    tasks: Sequence[ReadTask],
    summaries: Sequence[UnitSummary],
    document_files: Sequence[Mapping[str, int]],
    tokenizer_source: str | None,
) -> None:
    """Write the list of the input files, with a hash and the Parquet files of every unit.

    Args:
        work: The shard set.
        tasks: All units.
        summaries: What was found in each.
        document_files: Numbers of the Parquet files of each, by domain.
        tokenizer_source: Hash of the files that the tokenizer was made from.
    """
    files: dict[str, dict[str, Any]] = {}
    for task, summary, numbers in zip(tasks, summaries, document_files, strict=True):
        file = task.unit.file
        # The modification time is no part of a file that others compare byte for byte.
        version = file.version if file.is_remote else None
        entry = {"size": file.size, "version": version, "units": []}
        unit = {"start": task.unit.start, "digest": summary.digest, "documents": dict(numbers)}
        files.setdefault(file_key(task.unit), entry)["units"].append(unit)
    write_json(work.inputs, {"files": files, "tokenizer_source": tokenizer_source})


def read_inputs(work: Workspace) -> dict[str, Any]:
    """Read the list of the input files, by the key that `file_key` makes.

    Raises:
        UserError: There is none.
    """
    return _read(work)["files"]


def read_tokenizer_source(work: Workspace) -> str | None:
    """Read the hash of the files that the tokenizer was made from, if it was recorded.

    Raises:
        UserError: There is no list of the inputs.
    """
    return _read(work).get("tokenizer_source")


def _read(work: Workspace) -> dict[str, Any]:
    try:
        found = json.loads(work.inputs.read_text(encoding="utf-8"))
        found["files"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{work.inputs}: cannot tell which inputs the shard set was built from ({error}); "
            "build into another folder"
        ) from error
    return found


def file_key(unit: Unit) -> str:
    """Name the file of a unit together with what it is read for."""
    return f"{unit.file.domain or '*'}:{unit.file.name}"
