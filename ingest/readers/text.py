"""Text files: the whole file is one document."""

from __future__ import annotations

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.malformed import Malformed
from mixscale.ingest.readers.source_file import Unit


def read_text(unit: Unit) -> Blocks:
    """Yield the one record of a text file."""
    yield [_whole_text(unit)]


def _whole_text(unit: Unit) -> dict[str, str] | Malformed:
    data = bytearray()
    for chunk in unit.file.chunks():
        data += chunk
    try:
        return {"text": data.decode("utf-8-sig")}
    except UnicodeDecodeError as error:
        return Malformed(f"not UTF-8 at byte {error.start + 1}")


TEXT = Reader(name="text", endings=("txt", "text", "md"), read=read_text)
