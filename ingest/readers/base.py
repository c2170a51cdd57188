"""What a reader of an input format is: it gets a unit of a file and gives records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mixscale.ingest.readers.source_file import Unit

Blocks = Iterator[list[Any]]
"""Lists of records in the order of the file, each of moderate size.

A record is a dict of fields; `Malformed` or `Empty` stands for one that is none.
"""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """An input format: its name, its file endings, and how its records are read."""

    name: str
    """What `format:` in corpus.yaml calls it."""
    endings: tuple[str, ...]
    """File endings, small letters without the dot, that `format: auto` takes for it."""
    read: Callable[[Unit], Blocks]
    """Yields the records of a unit. `DamagedFile` may end it: the file becomes one more row."""
    splittable: bool = False
    """Whether `read` can give the records that start between `unit.start` and `unit.end` alone.

    Large files without compression are then cut, and read by several workers. Otherwise a unit is
    always a whole file.
    """
