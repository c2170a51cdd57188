"""Local files found by a pattern: every file once, whatever links lead to it."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixscale.contracts.errors import UserError

_MAGIC = re.compile(r"[*?\[]")
_ANY_DEPTH = "**"
_BRACES = re.compile(r"(?<!\$)\{([^{}]*,[^{}]*)\}")


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A regular file."""

    path: str
    real_path: str
    """Without links: equal for all names of the same file."""
    status: os.stat_result
    is_named: bool = False
    """Whether the pattern was the name itself."""


def find_local_files(pattern: str, folder: Path) -> list[FoundFile]:
    """Find the regular files that a pattern names, in the order of their names.

    What the pattern begins with is taken as it is as long as there is such a folder, so that
    brackets in the names of folders are no pattern. `**` stands for folders of any depth; those
    that links lead to are entered once. Hidden files match only what begins with a dot, too.

    Args:
        pattern: Relative to `folder`; `~` and environment variables are replaced.
        folder: Where the YAML file lies.

    Raises:
        UserError: The pattern is a folder, names what is no regular file, or a link leads nowhere.
    """
    start, parts = _literal_start(pattern, folder)
    if not parts:
        if os.path.isdir(start):
            raise UserError(f"{start}: is a folder; write a pattern such as {pattern}/*.jsonl")
        found = _regular(start, os.path.realpath)
        if found is None:
            raise UserError(f"{start}: is no regular file, so it cannot be read twice; copy it")
        return [replace(found, is_named=True)]
    files: dict[str, FoundFile] = {}
    real_folder: Callable[[str], str] = functools.cache(lambda path: os.path.realpath(path))
    for path in _matching(start, parts, set()):
        found = _regular(path, real_folder)
        if found is not None:
            known = files.get(found.real_path)
            # The name without links is the same, whatever links are made later.
            if known is None or found.path == found.real_path:
                files[found.real_path] = found
    return sorted(files.values(), key=lambda file: file.path)


def expand_path(path: str) -> str:
    """Put values in the place of `~` and of environment variables (`$NAME`, `${NAME}`)."""
    return os.path.expanduser(os.path.expandvars(path))


def expand_braces(pattern: str) -> list[str]:
    """Write out the choices in braces, as a shell does: `{a,b}.jsonl` is two patterns."""
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    head, tail = pattern[: match.start()], pattern[match.end() :]
    return [one for choice in match[1].split(",") for one in expand_braces(head + choice + tail)]


def is_below(path: str, pattern: str, folder: Path) -> bool:
    """Return whether a pattern matches a path, or a folder that it lies in."""
    for one in map(expand_path, expand_braces(pattern)):
        parts = [part for part in one.split(os.sep) if part not in ("", ".")]
        if not one.startswith(os.sep) and "://" not in one:
            above = glob.escape(os.path.abspath(folder)).split(os.sep)
            parts = [part for part in above if part] + parts
        names = [name for name in path.split(os.sep) if name not in ("", ".")]
        if any(parts_match(names[:length], parts) for length in range(1, len(names) + 1)):
            return True
    return False


def parts_match(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Return whether the names of a path match the parts of a pattern, `**` among them."""
    if not parts:
        return not names
    if parts[0] == _ANY_DEPTH:
        return any(parts_match(names[start:], parts[1:]) for start in range(len(names) + 1))
    return (
        bool(names)
        and (names[0] == parts[0] or fnmatch.fnmatchcase(names[0], parts[0]))
        and parts_match(names[1:], parts[1:])
    )


def _literal_start(pattern: str, folder: Path) -> tuple[str, list[str]]:
    expanded = expand_path(pattern)
    parts = [part for part in expanded.split(os.sep) if part not in ("", ".")]
    start = os.sep if expanded.startswith(os.sep) else os.path.abspath(folder)
    while parts and os.path.lexists(os.path.join(start, parts[0])):
        start = os.path.normpath(os.path.join(start, parts.pop(0)))
    return start, parts


def _matching(
    folder: str, parts: Sequence[str], entered: set[tuple[int, int, int]]
) -> Iterator[str]:
    """Yield the paths below a folder that match the parts of a pattern."""
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH:
        yield from _at_any_depth(folder, rest, entered)
        return
    if not _MAGIC.search(part):
        path = os.path.normpath(os.path.join(folder, part))
        names = [part] if os.path.lexists(path) else []
    else:
        names = [entry.name for entry in _entries(folder) if _matches(entry.name, part)]
    for name in names:
        path = os.path.join(folder, name)
        if not rest:
            yield path
        elif os.path.isdir(path):
            yield from _matching(path, rest, entered)


def _at_any_depth(
    folder: str, rest: Sequence[str], entered: set[tuple[int, int, int]]
) -> Iterator[str]:
    status = os.stat(folder)
    place = status.st_dev, status.st_ino, len(rest)
    if place in entered:
        return
    entered.add(place)
    yield from _matching(folder, rest or ["*"], entered)
    # Links last: a folder is entered under its own name when it has one here.
    folders = [e for e in _entries(folder) if not e.name.startswith(".") and e.is_dir()]
    for entry in sorted(folders, key=lambda entry: (entry.is_symlink(), entry.name)):
        yield from _at_any_depth(entry.path, rest, entered)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{folder}: cannot list: {error.strerror}") from error


def _matches(name: str, pattern: str) -> bool:
    is_hidden = name.startswith(".") and not pattern.startswith(".")
    return not is_hidden and fnmatch.fnmatchcase(name, pattern)


def _regular(path: str, real_folder: Callable[[str], str]) -> FoundFile | None:
    """Describe a regular file; nothing for folders, pipes and devices."""
    try:
        status = os.lstat(path)
        is_link = stat.S_ISLNK(status.st_mode)
        if is_link:
            status = os.stat(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot read: {error.strerror}; remove the link or restore what it leads to"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        return None
    parent, name = os.path.split(path)
    real_path = os.path.realpath(path) if is_link else os.path.join(real_folder(parent), name)
    return FoundFile(path=path, real_path=real_path, status=status)
