"""How settings and inputs differ from those a finished shard set was built from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import FILE_NAME, ShardSet
from mixscale.ingest.corpus import Corpus
from mixscale.ingest.grow.inputs import file_key, read_inputs
from mixscale.ingest.readers.source_file import Unit, last_change
from mixscale.ingest.runtime.workspace import Workspace
from mixscale.ingest.stages.read import input_digest

_MAX_LISTED = 5
_NOT_ASKED_FOR = (None, False, [])


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How settings and inputs differ from those of a finished shard set."""

    settings: tuple[str, ...]
    """Settings that make all of it out of date, as lines for people."""
    gone: tuple[str, ...]
    changed: tuple[str, ...]
    added: tuple[str, ...]
    """Input files by name."""

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.settings or self.gone or self.changed or self.added)

    @property
    def is_growth(self) -> bool:
        """Whether there is more, and nothing else differs."""
        return bool(self.added) and not (self.settings or self.gone or self.changed)

    def refusal(self, work: Workspace) -> UserError:
        """Build the error that lists what differs and what can be done."""
        lines = [
            *self.settings,
            *(f"input gone: {name}" for name in self.gone),
            *(f"input changed: {name}" for name in self.changed),
            *(f"input added: {name}" for name in self.added),
        ]
        listed = "".join(f"\n  {line}" for line in lines[:_MAX_LISTED])
        more = f"\n  and {len(lines) - _MAX_LISTED} more" if len(lines) > _MAX_LISTED else ""
        return UserError(
            f"{work.out}: a finished shard set, built from something else:{listed}{more}\n"
            "choose another folder for the new one, or delete this folder to build it again "
            "(files and domains may be added, nothing else may change)"
        )


def find_changes(
    work: Workspace,
    shardset: ShardSet,
    corpus: Corpus,
    units: Sequence[Unit],
    tokenizer_source: str | None,
) -> Changes:
    """Compare settings and inputs with those a finished shard set was built from.

    Args:
        work: The shard set.
        shardset: Its summary.
        corpus: The settings now.
        units: The inputs now.
        tokenizer_source: Hash of the tokenizer's files now, when they are on this machine.
    """
    inputs = read_inputs(work)
    old = inputs.files
    new: dict[str, list[Unit]] = {}
    for unit in units:
        new.setdefault(file_key(unit), []).append(unit)
    built = (work.out / FILE_NAME).stat().st_mtime_ns
    both = [name for name in new if name in old]
    before, after = shardset.config, corpus.model_dump(mode="json")
    known = inputs.tokenizer_source
    other_tokenizer: list[str] = []
    if None not in (known, tokenizer_source):
        if known == tokenizer_source:
            # The same files under another name are the same tokenizer.
            before = {**before, "tokenizer": {**before["tokenizer"], "name": None}}
            after = {**after, "tokenizer": {**after["tokenizer"], "name": None}}
        else:
            name = corpus.tokenizer.name
            other_tokenizer = [f"tokenizer {name}: its files are not those of the build"]
    return Changes(
        settings=(*other_tokenizer, *_setting_changes(before, after)),
        gone=tuple(name for name in old if name not in new),
        changed=tuple(name for name in both if not _is_same(old[name], new[name], built)),
        added=tuple(name for name in new if name not in old),
    )


def _setting_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """List differences in settings, those left out that only add text to read."""
    lines = _differences(_without_paths(old), _without_paths(new))
    old_names, new_names = list(old["domains"]), list(new["domains"])
    if [name for name in new_names if name in old_names] != old_names and not lines:
        lines.append(f"setting domains: the order was {old_names}, is {new_names}")
    return lines


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out the globs: which files they find is compared in their stead."""
    domains = {name: _without_globs(domain) for name, domain in settings["domains"].items()}
    route = settings["route"] and _without_globs(settings["route"])
    return {**_without_globs(settings), "domains": domains, "route": route}


def _without_globs(settings: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: value for key, value in settings.items() if key != "paths"}
    # Whether there are validation files at all decides about the texts of the other files.
    return {**values, "validation_paths": bool(values.get("validation_paths"))}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], where: str = "") -> list[str]:
    lines: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        name = f"{where}{key}"
        before, after = old.get(key), new.get(key)
        if before == after or (where == "domains." and key not in old):
            continue
        # An older version had no such key, and did what the default does.
        if key not in old and after in _NOT_ASKED_FOR:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += _differences(before, after, f"{name}.")
        else:
            lines.append(f"setting {name}: was {_short(before)}, is {_short(after)}")
    return lines


def _is_same(old: Mapping[str, Any], units: Sequence[Unit], built: int) -> bool:
    file = units[0].file
    if file.is_remote:
        return old["version"] == file.version
    if old["size"] != file.size or len(old["units"]) != len(units):
        return False
    # As make does: what was last written before the build cannot have changed since.
    if last_change(file.version) < built:
        return True
    return [unit["digest"] for unit in old["units"]] == [input_digest(unit) for unit in units]


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"
