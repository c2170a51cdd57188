"""Text files: the whole file is one document, or a separator stands between documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.lines import Line, line_blocks, unit_chunks
from mixscale.ingest.readers.malformed import DamagedFile, Empty, Malformed
from mixscale.ingest.readers.source_file import Unit

_BOM = b"\xef\xbb\xbf"


def read_text(unit: Unit) -> Blocks:
    """Yield the one record of a text file, or those between its separators."""
    if unit.file.separator is None:
        yield [_record(b"".join(unit.file.chunks()))]
        return
    yield from _separated(unit.file.chunks(), unit.file.separator.encode("utf-8"))


def _separated(chunks: Iterator[bytes], separator: bytes) -> Blocks:
    """Yield the texts between separators, without the line ends around them."""
    waiting = bytearray()
    is_first = True
    damage: Malformed | None = None
    try:
        for chunk in chunks:
            # A separator may begin in one chunk and end in the next.
            start = max(0, len(waiting) - len(separator) + 1)
            waiting += chunk
            if waiting.find(separator, start) < 0:
                continue
            *texts, rest = bytes(waiting).split(separator)
            waiting = bytearray(rest)
            yield [_between(text, is_first and n == 0) for n, text in enumerate(texts)]
            is_first = False
    except DamagedFile as error:
        damage = Malformed(error.detail)
    last = [_between(bytes(waiting), is_first)] if waiting.strip() else []
    yield [*last, damage] if damage is not None else last


def _between(text: bytes, is_first: bool) -> Any:
    text = (text.removeprefix(_BOM) if is_first else text).strip(b"\r\n")
    return _record(text) if text else Empty("nothing between two separators")


def _record(data: bytes) -> dict[str, str] | Malformed:
    try:
        return {"text": data.removeprefix(_BOM).decode("utf-8")}
    except UnicodeDecodeError as error:
        return Malformed(f"not UTF-8 at byte {error.start + 1}")


def read_lines(unit: Unit) -> Blocks:
    """Yield a record for each line of a text file, or those that start in a range of it."""
    yield from map(_line_records, line_blocks(unit_chunks(unit)))


def _line_records(lines: list[Line] | Malformed) -> list[Any]:
    return [lines] if isinstance(lines, Malformed) else [_line_record(line) for line in lines]


def _line_record(line: Line) -> Any:
    text = bytes(line).removesuffix(b"\r")
    return _record(text) if text else Empty("a blank line")


TEXT = Reader(name="text", endings=("txt", "text", "md"), read=read_text)
LINES = Reader(name="lines", endings=(), read=read_lines, splittable=True)
