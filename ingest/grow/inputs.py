"""`inputs.json`: the files a shard set was built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError
from mixscale.ingest.readers.source_file import Unit
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.stages.read import BundleSummary, ReadTask

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


class Inputs(NamedTuple):
    """The files of a shard set, and the bundles in which they were read."""

    files: dict[str, Any]
    """By the key that `file_key` makes: size, version, and the units of each."""
    bundles: list[dict[str, Any]]
    """The Parquet files of each."""
    tokenizer_source: str | None = None
    """Hash of the files that the tokenizer was made from; nothing when there were none."""

    def units_by_bundle(self) -> list[list[tuple[str, int]]]:
        """List the key of the file and the start of every unit of each bundle, in order."""
        found: list[list[tuple[str, int]]] = [[] for _ in self.bundles]
        for key, file in self.files.items():
            for unit in file["units"]:
                found[unit["bundle"]].append((key, unit["start"]))
        return found


def record_inputs(
    work: Workspace,
    tasks: Sequence[ReadTask],
    summaries: Sequence[BundleSummary],
    document_files: Sequence[Mapping[str, int]],
    tokenizer_source: str | None,
) -> None:
    """Write the list of the input files, with a hash and the bundle of every unit.

    Args:
        work: The shard set.
        tasks: All bundles.
        summaries: What was found in each.
        document_files: Numbers of the Parquet files of each, by domain.
        tokenizer_source: Hash of the files that the tokenizer was made from.
    """
    files: dict[str, dict[str, Any]] = {}
    for number, (task, summary) in enumerate(zip(tasks, summaries, strict=True)):
        for unit, digest in zip(task.units, summary.digests, strict=True):
            file = unit.file
            # The modification time is no part of a file that others compare byte for byte.
            version = file.version if file.is_remote else None
            entry = {"size": file.size, "version": version, "units": []}
            found = {"start": unit.start, "digest": digest, "bundle": number}
            files.setdefault(file_key(unit), entry)["units"].append(found)
    bundles = [{"documents": dict(numbers)} for numbers in document_files]
    inputs = Inputs(files, bundles, tokenizer_source)
    with atomic_write(work.inputs, "wb") as stream:
        # A million files are written in seconds.
        stream.write(orjson.dumps(inputs._asdict(), option=_OPTIONS))


def read_inputs(work: Workspace) -> Inputs:
    """Read the list of the input files.

    Raises:
        UserError: There is none.
    """
    try:
        return Inputs(**orjson.loads(work.inputs.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{work.inputs}: cannot tell which inputs the shard set was built from ({error}); "
            "build into another folder"
        ) from error


def file_key(unit: Unit) -> str:
    """Name the file of a unit together with what it is read for."""
    use = "/validation" if unit.file.is_validation else ""
    return f"{unit.file.domain or '*'}{use}:{unit.file.name}"
