"""JSON files that are one value: an array of records, read piece by piece, or a single record."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.jsonl import parse_line
from mixscale.ingest.readers.lines import line_blocks
from mixscale.ingest.readers.malformed import DamagedFile, Empty, Malformed
from mixscale.ingest.readers.source_file import Unit

_BLOCK_RECORDS = 256
_NEAR_END = 32
_SPACE = " \t\r\n"


def read_json(unit: Unit) -> Blocks:
    """Yield the records of a `.json` file."""
    yield from json_blocks(unit.file.chunks())


def json_blocks(chunks: Iterator[bytes]) -> Iterator[list[Any]]:
    """Yield the records of a `.json` file: an array, one object, or in truth JSON Lines."""
    text = _Text(chunks)
    text.skip_space()
    if text.next() == "[":
        yield from _array_blocks(text)
        return
    while "\n" not in text.rest and not text.at_end:
        text.grow()
    first_line, newline, _ = text.rest.partition("\n")
    if newline and not isinstance(parse_line(_encode(first_line)), Malformed | Empty):
        for lines in line_blocks(text.chunks()):
            yield [lines] if isinstance(lines, Malformed) else [parse_line(line) for line in lines]
        return
    text.read_all()
    if text.rest.strip(_SPACE):
        yield [parse_line(_encode(text.rest))]


class _Text:
    """Decoded text that grows as it is needed; bytes that are not UTF-8 are kept as surrogates."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text = ""
        self.place = 0
        self.at_end = False
        self.grow()
        self._text = self._text.removeprefix("\ufeff")

    @property
    def rest(self) -> str:
        """What was read and not yet used."""
        return self._text[self.place :]

    def grow(self) -> None:
        """Read on, about as much again as is waiting."""
        pieces = [self.rest]
        wanted = len(pieces[0]) + 1
        while wanted > 0 and not self.at_end:
            chunk = next(self._chunks, None)
            self.at_end = chunk is None
            pieces.append(self._decode(chunk or b"", final=self.at_end))
            wanted -= len(pieces[-1])
        self._text, self.place = "".join(pieces), 0

    def read_all(self) -> None:
        """Read to the end."""
        while not self.at_end:
            self.grow()

    def chunks(self) -> Iterator[bytes]:
        """Give all that was not yet used as bytes again."""
        yield _encode(self.rest)
        yield from self._chunks

    def skip_space(self) -> None:
        """Move to the next character that is no white space."""
        while True:
            rest = self.rest.lstrip(_SPACE)
            self.place = len(self._text) - len(rest)
            if rest or self.at_end:
                return
            self.grow()

    def next(self) -> str:
        """Give the next character, or nothing at the end."""
        return self._text[self.place : self.place + 1]

    def take_value(self) -> bytes:
        """Take the next JSON value, whose inside may still be wrong.

        Raises:
            DamagedFile: Its end cannot be found.
        """
        decoder = json.JSONDecoder(strict=False)
        while True:
            try:
                end = decoder.raw_decode(self._text, self.place)[1]
            except (json.JSONDecodeError, RecursionError) as error:
                if self.at_end or not _may_be_cut(error, len(self._text)):
                    raise DamagedFile(_lost(error)) from error
            else:
                # A number may go on in the next chunk.
                if end < len(self._text) or self.at_end:
                    return self._take(end)
            self.grow()

    def _take(self, end: int) -> bytes:
        value = _encode(self._text[self.place : end])
        is_most = 2 * (end - self.place) > len(self._text)
        self.place = end
        if is_most:
            # A record may be as large as memory: one copy less while it is parsed.
            self._text, self.place = self.rest, 0
        return value


def _array_blocks(text: _Text) -> Iterator[list[Any]]:
    records: list[Any] = []
    text.place += 1
    text.skip_space()
    try:
        while text.next() != "]":
            records.append(parse_line(text.take_value()))
            _next_item(text)
            if len(records) == _BLOCK_RECORDS:
                yield records
                records = []
        _refuse_more(text)
    except DamagedFile as error:
        records.append(Malformed(error.detail))
    yield records


def _next_item(text: _Text) -> None:
    """Move past the comma behind a value, or to the end of the array."""
    text.skip_space()
    if text.next() == ",":
        text.place += 1
        text.skip_space()
        if text.next() != "]":
            return
        raise DamagedFile("not JSON: a comma before the end of the array")
    if text.next() != "]":
        found = repr(text.next()) if text.next() else "the end of the file"
        raise DamagedFile(f"not JSON: expected ',' or ']', found {found}; what follows is lost")


def _refuse_more(text: _Text) -> None:
    text.place += 1
    text.skip_space()
    if text.next():
        raise DamagedFile("text after the end of the JSON array; it is lost")


def _may_be_cut(error: Exception, length: int) -> bool:
    """Return whether more text could resolve the error."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= length - _NEAR_END


def _lost(error: Exception) -> str:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
    return f"not JSON: {reason}; the records from here on are lost"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


JSON = Reader(name="json", endings=("json",), read=read_json)
