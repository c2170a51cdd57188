"""Input files cut into units of work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixscale.ingest.readers.registry import find_reader
from mixscale.ingest.readers.source_file import SourceFile, Unit

UNIT_BYTES = 1 << 25
"""Files of splittable formats are cut here, so that one large file keeps all workers busy."""


def cut_units(sources: Sequence[SourceFile]) -> list[Unit]:
    """Cut files into units; the cuts depend on the files alone."""
    return [
        Unit(file=file, start=start, end=end) for file in sources for start, end in _ranges(file)
    ]


def _ranges(file: SourceFile) -> Iterator[tuple[int, int | None]]:
    is_plain = file.compression is None and file.encoding is None
    can_be_cut = is_plain and find_reader(file.format).reader.splittable
    if not can_be_cut or file.size <= UNIT_BYTES:
        yield 0, None
        return
    for start in range(0, file.size, UNIT_BYTES):
        yield start, min(start + UNIT_BYTES, file.size)
