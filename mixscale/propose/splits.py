"""Files that are published for validation or tests, told by their names and folders."""

from __future__ import annotations

import re
from typing import Literal

Split = Literal["train", "validation", "test"]

_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "heldout": "test",
}
_NAME = re.compile(rf"({'|'.join(_WORDS)})(?=[-_.]|$)", re.IGNORECASE)


def split_of_folder(name: str) -> Split | None:
    """Return which split a folder is for, if its name says so."""
    return _WORDS.get(name.lower())


def split_of_file(name: str) -> Split | None:
    """Return which split a file is for, if its name begins by saying so (`train-00000.parquet`)."""
    match = _NAME.match(name)
    return _WORDS[match[1].lower()] if match else None


def split_of(parts: tuple[str, ...]) -> Split | None:
    """Return which split a file is for, by its folders and its name."""
    for part in parts[:-1]:
        split = split_of_folder(part)
        if split is not None:
            return split
    return split_of_file(parts[-1])
