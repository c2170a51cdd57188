"""`inputs.json`: the files a shard set was built from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.atomic import write_json
from contracts.errors import UserError
from contracts.shardset import FILE_NAME, ShardSet
from ingest.corpus import Corpus
from ingest.sources import Unit
from ingest.unit import ReadTask, UnitSummary, input_digest
from ingest.workspace import Workspace

_SHOWN = 5


def record_inputs(
    work: Workspace, tasks: Sequence[ReadTask], summaries: Sequence[UnitSummary]
) -> None:
    """Write the list of the input files, with a hash of every unit."""
    files: dict[str, dict[str, Any]] = {}
    for task, summary in zip(tasks, summaries, strict=True):
        file = task.unit.file
        # The modification time is no part of a file that others compare byte for byte.
        version = file.version if file.is_remote else None
        entry = {"size": file.size, "version": version, "digests": []}
        files.setdefault(_key(task.unit), entry)["digests"].append(summary.digest)
    write_json(work.inputs, {"files": files})


def check_unchanged(
    work: Workspace, shardset: ShardSet, corpus: Corpus, units: Sequence[Unit]
) -> None:
    """Compare settings and inputs with those a finished shard set was built from.

    Raises:
        UserError: Something differs; the message says what.
    """
    differences = [
        *_setting_differences(shardset.config, corpus.model_dump(mode="json")),
        *_input_differences(work, units),
    ]
    if differences:
        shown = "".join(f"\n  {line}" for line in differences[:_SHOWN])
        more = len(differences) - _SHOWN
        raise UserError(
            f"{work.out}: a finished shard set, built from something else:{shown}"
            + (f"\n  and {more} more" if more > 0 else "")
            + "\nchoose another folder for the new one, or delete this folder to build it again"
        )


def _setting_differences(
    old: Mapping[str, Any], new: Mapping[str, Any], where: str = ""
) -> list[str]:
    lines: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        name = f"{where}{key}"
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += _setting_differences(before, after, f"{name}.")
        else:
            lines.append(f"setting {name}: was {_short(before)}, is {_short(after)}")
    return lines


def _input_differences(work: Workspace, units: Sequence[Unit]) -> list[str]:
    try:
        old = json.loads(work.inputs.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{work.inputs}: cannot tell which inputs the shard set was built from ({error})"
        ) from error
    new: dict[str, list[Unit]] = {}
    for unit in units:
        new.setdefault(_key(unit), []).append(unit)
    built = (work.out / FILE_NAME).stat().st_mtime_ns
    lines = [f"input gone: {name}" for name in old if name not in new]
    lines += [f"input added: {name}" for name in new if name not in old]
    lines += [
        f"input changed: {name}"
        for name, parts in new.items()
        if name in old and not _is_same(old[name], parts, built)
    ]
    return lines


def _is_same(old: Mapping[str, Any], units: Sequence[Unit], built: int) -> bool:
    file = units[0].file
    if file.is_remote:
        return old["version"] == file.version
    if old["size"] != file.size:
        return False
    # As make does: what was last written before the build cannot have changed since.
    if int(file.version) < built:
        return True
    return old["digests"] == [input_digest(unit) for unit in units]


def _key(unit: Unit) -> str:
    return f"{unit.file.domain or '*'}:{unit.file.name}"


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"
