"""The domains that the names of folders and files suggest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mixscale.ingest.corpus import DOMAIN_NAME, RESERVED
from mixscale.propose.listing import ListedFile
from mixscale.propose.splits import split_of_file, split_of_folder

_MOST_DOMAINS = 100
_LEAST_BYTES = 1 << 15
"""Files side by side are domains of their own only when each has so much."""
_LONGEST_NAME = 100
_NUMBERED = re.compile(r"(?:[-_.]?(?:\d+|of|part|parts|shard|chunk|split|file|data))+$", re.I)


def group_files(files: Sequence[ListedFile], fallback: str) -> dict[str, list[ListedFile]]:
    """Divide files into domains: by folder, else by the beginning of their names, else not at all.

    Folders called `train` or `validation`, and levels of numbered folders, divide nothing.

    Args:
        files: What to divide.
        fallback: Name of a domain for which no name is found.

    Returns:
        The files by name of the domain, in the order of the names.
    """
    folders = [[p for p in file.parts[:-1] if split_of_folder(p) is None] for file in files]
    level = 0
    while True:
        keys = [names[level] if len(names) > level else "" for names in folders]
        different = set(keys)
        if different == {""}:
            return _named(_by_stem(files), files, folders, fallback)
        if len(different) == 1 or _is_numbered(different):
            level += 1
            continue
        if len(different - {""}) > _MOST_DOMAINS:
            return _named({"": list(files)}, files, folders, fallback)
        groups: dict[str, list[ListedFile]] = {}
        for key, file in zip(keys, files, strict=True):
            groups.setdefault(key, []).append(file)
        return _named(groups, files, folders, fallback)


def _is_numbered(names: set[str]) -> bool:
    """Whether folders are the numbered parts of one thing, as chunk1, chunk2 or 2023-06 are."""
    stems = {_NUMBERED.sub("", name) for name in names - {""}}
    return len(stems) == 1 and all(re.search(r"\d", name) for name in names - {""})


def _by_stem(files: Sequence[ListedFile]) -> dict[str, list[ListedFile]]:
    """Divide files that lie side by side, if each group has enough to be a domain."""
    groups: dict[str, list[ListedFile]] = {}
    for file in files:
        groups.setdefault(_stem(file), []).append(file)
    sizes = [sum(file.size for file in group) for group in groups.values()]
    if "" in groups or len(groups) > _MOST_DOMAINS or min(sizes) < _LEAST_BYTES:
        return {"": list(files)}
    return groups


def _stem(file: ListedFile) -> str:
    """Take what the parts of one domain have in common: `wiki` of `wiki-00001-of-00010.jsonl`."""
    stem = file.parts[-1].split(".")[0]
    if split_of_file(stem) is not None:
        stem = re.sub(r"^[A-Za-z]+[-_.]?", "", stem)
    return _NUMBERED.sub("", stem)


def _named(
    groups: dict[str, list[ListedFile]],
    files: Sequence[ListedFile],
    folders: Sequence[Sequence[str]],
    fallback: str,
) -> dict[str, list[ListedFile]]:
    """Give each group a name that a domain may have, each a different one."""
    shared = _last_shared(folders)
    named: dict[str, list[ListedFile]] = {}
    for key in sorted(groups):
        name = domain_name(key or shared or fallback)
        number = 2
        unique = name
        while unique in named:
            unique, number = f"{name}-{number}", number + 1
        named[unique] = groups[key]
    return named


def _last_shared(folders: Sequence[Sequence[str]]) -> str:
    """Name the deepest folder that all files lie in and that is no numbered part."""
    shared = [names[0] for names in zip(*folders, strict=False) if len(set(names)) == 1]
    named = [name for name in shared if _NUMBERED.sub("", name)]
    return named[-1] if named else ""


def domain_name(text: str) -> str:
    """Make a name of letters, digits, `_`, `-` and `.` that is not taken."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", text.encode("ascii", "replace").decode())
    name = name.strip("-.")[:_LONGEST_NAME] or "text"
    assert re.match(DOMAIN_NAME, name)
    return f"{name}-text" if name.lower() in RESERVED else name
