"""The files of a folder, as far as a bounded walk gets, and what among them is no text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mixscale.contracts.shardset import FILE_NAME
from mixscale.ingest.readers.decompress import COMPRESSIONS
from mixscale.ingest.readers.find_files import format_by_name

MOST_FILES = 200_000
"""So many files are listed; in a folder with more, the parts of it are sampled evenly."""
_MOST_DEPTH = 32
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json")
_OWN_FILES = ("corpus.yaml", "experiment.yaml", "run.yaml")


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """A regular file below the folder."""

    parts: tuple[str, ...]
    """Its folders and its name, from the folder that was looked at."""
    size: int
    format: str | None
    """By its ending; nothing when the ending tells none."""
    ending: str
    """`jsonl.zst`; what stands behind the last dot, and before that of a compression."""

    @property
    def path(self) -> str:
        """Its name from the folder that was looked at."""
        return "/".join(self.parts)


@dataclass(kw_only=True)
class Listing:
    """What lies in a folder."""

    folder: Path
    files: list[ListedFile] = field(default_factory=list)
    is_cut: bool = False
    """Whether there are more files than were listed."""
    left_out: Counter[str] = field(default_factory=Counter)
    """By what they are: how many things no text can be read from."""
    tokenizers: list[str] = field(default_factory=list)
    """Folders with the files of a tokenizer."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that cannot be listed, with the reason."""


def list_folder(folder: Path) -> Listing:
    """List the files below a folder; hidden ones, shard sets and tokenizers are passed by.

    In a folder with more than `MOST_FILES` files each of its folders gets an equal part.
    """
    listing = Listing(folder=folder)
    seen: set[tuple[int, int]] = set()
    files, folders = _entries(folder, (), listing, seen)
    listing.files += files[:MOST_FILES]
    listing.is_cut = len(files) > MOST_FILES
    left = max(0, MOST_FILES - len(files))
    for number, name in enumerate(folders):
        share = left // (len(folders) - number)
        found = _below(folder, (name,), listing, seen, share)
        listing.files += found
        left -= len(found)
    listing.files.sort(key=lambda file: file.parts)
    return listing


def _below(
    folder: Path,
    parts: tuple[str, ...],
    listing: Listing,
    seen: set[tuple[int, int]],
    most: int,
) -> list[ListedFile]:
    """List at most so many files below one folder, the nearest first."""
    found: list[ListedFile] = []
    waiting = [parts]
    for here in waiting:
        if len(here) > _MOST_DEPTH:
            listing.left_out["folders below others, 32 deep"] += 1
            continue
        files, folders = _entries(folder.joinpath(*here), here, listing, seen)
        found += files
        if len(found) > most:
            listing.is_cut = True
            return found[:most]
        waiting += [(*here, name) for name in folders]
    return found


def _entries(
    folder: Path, parts: tuple[str, ...], listing: Listing, seen: set[tuple[int, int]]
) -> tuple[list[ListedFile], list[str]]:
    """Give files and names of folders in one folder; nothing of what is no text."""
    try:
        status = os.stat(folder)
        # Links may lead back.
        if (status.st_dev, status.st_ino) in seen:
            return [], []
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        name = "/".join(parts) or "."
        listing.unreadable.append(f"{name}: {error.strerror or error}")
        return [], []
    names = {entry.name for entry in found}
    if FILE_NAME in names or os.path.isdir(folder / ".build" / "units"):
        listing.left_out["shard sets"] += 1
        return [], []
    if names.intersection(_TOKENIZER_FILES):
        listing.tokenizers.append("/".join(parts) or ".")
        if parts:
            return [], []
    return _sort_out(found, parts, listing)


def _sort_out(
    found: list[os.DirEntry[str]], parts: tuple[str, ...], listing: Listing
) -> tuple[list[ListedFile], list[str]]:
    files: list[ListedFile] = []
    folders: list[str] = []
    for entry in found:
        if entry.name.startswith("."):
            listing.left_out["hidden files and folders"] += 1
            continue
        try:
            if entry.is_dir():
                folders.append(entry.name)
            elif not entry.is_file():
                if entry.is_symlink() and not os.path.exists(entry.path):
                    name = "/".join((*parts, entry.name))
                    listing.unreadable.append(
                        f"{name}: a link that leads nowhere; a build refuses it: remove it"
                    )
                else:
                    listing.left_out["pipes and devices"] += 1
            elif not (entry.name in _OWN_FILES or entry.name in _TOKENIZER_FILES):
                files.append(_file((*parts, entry.name), entry.stat().st_size))
        except OSError as error:
            name = "/".join((*parts, entry.name))
            listing.unreadable.append(f"{name}: {error.strerror or error}")
    return files, folders


def _file(parts: tuple[str, ...], size: int) -> ListedFile:
    return ListedFile(
        parts=parts, size=size, format=format_by_name(parts[-1])[0], ending=_ending(parts[-1])
    )


def _ending(name: str) -> str:
    """Take the ending by which a format is told, with that of a compression behind it."""
    endings = name.split(".")[1:]
    is_compressed = bool(endings) and endings[-1].lower() in COMPRESSIONS
    return ".".join(endings[-2:] if is_compressed else endings[-1:])


def paths(files: list[ListedFile]) -> Iterator[str]:
    """Name files from the folder that was looked at."""
    return (file.path for file in files)
