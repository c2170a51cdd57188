"""Patterns of corpus.yaml that find given files and no others."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Sequence

from mixscale.ingest.readers.local_files import parts_match
from mixscale.propose.listing import ListedFile

_MOST_LISTED = 200
_AWKWARD = re.compile(r"[\ud800-\udfff{}$\x00-\x1f\x7f-\x9f]|^~|::|://")
"""What a pattern or YAML cannot hold, or would take for something else."""
_MAGIC = re.compile(r"[*?\[\]]")


def patterns_for(wanted: Sequence[ListedFile], others: Sequence[ListedFile]) -> list[str]:
    """Find patterns, from the folder that was looked at, for files of any endings.

    Args:
        wanted: What they are to find.
        others: What they must not find.

    Returns:
        The shortest patterns that do; where none do, the names themselves.
    """
    found: list[str] = []
    for ending in sorted({file.ending for file in wanted}):
        alike = [file for file in wanted if file.ending == ending]
        rivals = [file for file in others if file.ending == ending or not ending]
        found += _for_one_ending(alike, rivals, ending)
    return found


def _for_one_ending(
    wanted: Sequence[ListedFile], others: Sequence[ListedFile], ending: str
) -> list[str]:
    top = _shared_beginning([file.parts[:-1] for file in wanted])
    # A beginning of the name alone, not of its ending.
    start = "".join(_shared_beginning([file.parts[-1].split(".")[0] for file in wanted]))
    names = [f"*.{ending}" if ending else "*"]
    if len(wanted) > 1:
        names += [f"{literal(word)}*.{ending}" for word in _beginnings(start) if ending]
    is_flat = all(len(file.parts) == len(top) + 1 for file in wanted)
    for name in names:
        for middle in ([], ["**"]) if is_flat else (["**"],):
            pattern = [*top, *middle, name]
            if not any(parts_match(file.parts, _escaped(pattern, len(top))) for file in others):
                return [joined(pattern[:-1], name, is_pattern=True)]
    by_folder = _by_folder(wanted, others, names[0])
    return by_folder or [joined(file.parts[:-1], file.parts[-1]) for file in wanted]


def _shared_beginning(values: Sequence[Sequence[str]]) -> list[str]:
    """Give the parts that all values begin with."""
    shared = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*values, strict=False))
    return [parts[0] for parts in shared]


def _beginnings(start: str) -> list[str]:
    """Give beginnings of names, shortest first, each ending before a digit or with a mark."""
    word = re.match(r"[^\d]*", start)
    return [text for text in dict.fromkeys([word[0] if word else "", start]) if text]


def _by_folder(
    wanted: Sequence[ListedFile], others: Sequence[ListedFile], name: str
) -> list[str] | None:
    folders = sorted({file.parts[:-1] for file in wanted})
    if len(folders) > _MOST_LISTED or any(
        file.parts[:-1] in set(folders) and fnmatch.fnmatchcase(file.parts[-1], name)
        for file in others
    ):
        return None
    return [joined(folder, name, is_pattern=True) for folder in folders]


def _escaped(pattern: Sequence[str], literal: int) -> list[str]:
    """Keep marks in the names of folders from being patterns."""
    return [
        re.sub(r"([*?\[])", r"[\1]", part) if number < literal else part
        for number, part in enumerate(pattern)
    ]


def joined(folders: Sequence[str], name: str, *, is_pattern: bool = False) -> str:
    """Write folders and a name as a pattern.

    A name that a pattern cannot hold gets `?` in the place of each such character. The folders that
    a pattern begins with are taken as they are, but only as far as all of them are.

    Args:
        folders: From the folder that was looked at; `**` among them stands for any.
        name: Of a file.
        is_pattern: Whether `name` is a pattern already.
    """
    parts = [*folders, name]
    if not any(_AWKWARD.search(part) for part in parts):
        return "/".join(parts)
    plain = [part if part == "**" else literal(part) for part in folders]
    return "/".join([*plain, name if is_pattern else literal(name)])


def literal(part: str) -> str:
    """Put `?` in the place of what a pattern cannot hold, and of what it would take for a mark."""
    return _MAGIC.sub("?", _AWKWARD.sub(lambda match: "?" * len(match[0]), part))
