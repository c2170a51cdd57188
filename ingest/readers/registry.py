"""The input formats: those of this package, and those that other packages register.

A package adds a format by an entry point of the group `mixscale.readers`, which names a `Reader`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.ingest.readers.arrow import ARROW
from mixscale.ingest.readers.base import Reader
from mixscale.ingest.readers.csv_table import CSV, TSV
from mixscale.ingest.readers.decompress import COMPRESSIONS
from mixscale.ingest.readers.json_array import JSON
from mixscale.ingest.readers.jsonl import JSONL
from mixscale.ingest.readers.parquet import PARQUET
from mixscale.ingest.readers.text import LINES, TEXT

BUILT_IN = (JSONL, JSON, PARQUET, ARROW, TEXT, LINES, CSV, TSV)
AUTO = "auto"
"""The value of `format:` that lets the ending decide; no format may have this name."""
ENTRY_POINTS = "mixscale.readers"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A reader and the package that it comes from."""

    reader: Reader
    package: str
    version: str

    @property
    def source(self) -> str:
        """Package and version, for people and for names that depend on them."""
        return f"{self.package} {self.version}".strip()


def find_reader(name: str) -> Registered:
    """Find the reader of a format.

    Raises:
        UserError: There is none of this name, or the readers of other packages cannot be used.
    """
    readers = all_readers()
    if name not in readers:
        raise unknown_name("format", name, readers)
    return readers[name]


def format_by_ending(ending: str) -> str | None:
    """Name the format that files of this ending have, if there is one.

    Raises:
        UserError: The readers of other packages cannot be used.
    """
    for name, registered in all_readers().items():
        if ending in registered.reader.endings:
            return name
    return None


def outside_packages() -> tuple[str, ...]:
    """Name the packages whose readers are registered beside our own."""
    packages = (r.package for r in all_readers().values() if r.reader not in BUILT_IN)
    return tuple(dict.fromkeys(packages))


@functools.cache
def all_readers() -> Mapping[str, Registered]:
    """Load the readers of all formats, by name: our own, then those of other packages.

    Raises:
        UserError: A reader cannot be loaded, or takes a name or an ending that is in use.
    """
    ours = [Registered(reader=reader, package="mixscale", version="") for reader in BUILT_IN]
    found = metadata.entry_points(group=ENTRY_POINTS)
    return _by_name([*ours, *(_load(entry) for entry in sorted(found, key=lambda e: e.name))])


def _load(entry: metadata.EntryPoint) -> Registered:
    package = entry.dist.name if entry.dist else "an unknown package"
    version = entry.dist.version if entry.dist else ""
    where = f"reader {entry.name!r} of {f'{package} {version}'.strip()} ({entry.value})"
    try:
        reader = entry.load()
    except Exception as error:  # whatever the other package raises while it is imported
        raise UserError(
            f"{where}: cannot be loaded: {type(error).__name__}: {error}; "
            f"fix or uninstall {package}"
        ) from error
    if not isinstance(reader, Reader) or reader.name != entry.name:
        found = f"one named {reader.name!r}" if isinstance(reader, Reader) else repr(reader)
        raise UserError(
            f"{where}: expected a mixscale.ingest.readers.base.Reader with the name "
            f"{entry.name!r}, found {found}"
        )
    return Registered(reader=reader, package=package, version=version)


def _by_name(readers: Iterable[Registered]) -> dict[str, Registered]:
    by_name: dict[str, Registered] = {}
    by_ending: dict[str, str] = dict.fromkeys(COMPRESSIONS, "a compression")
    for registered in readers:
        name, source = registered.reader.name, registered.source
        if name == AUTO or name in by_name:
            owner = by_name[name].source if name in by_name else "mixscale"
            raise UserError(
                f"the format {name!r} of {source} is also that of {owner}; "
                f"uninstall one of them, or rename the format"
            )
        for ending in registered.reader.endings:
            if ending in by_ending:
                raise UserError(
                    f"the ending .{ending} of the format {name!r} ({source}) is also that of "
                    f"{by_ending[ending]}; uninstall one of them, or choose another ending"
                )
            by_ending[ending] = f"the format {name!r} ({source})"
        by_name[name] = registered
    return by_name
