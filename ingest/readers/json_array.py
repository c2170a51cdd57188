"""JSON files: an array of records, one record, or several; damage costs only what it touches."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from mixscale.ingest.readers.base import Blocks, Reader
from mixscale.ingest.readers.jsonl import parse_line, parse_lines
from mixscale.ingest.readers.lines import line_blocks
from mixscale.ingest.readers.malformed import DamagedFile, Empty, Malformed
from mixscale.ingest.readers.nesting import closing_bracket
from mixscale.ingest.readers.source_file import Unit

_BLOCK_RECORDS = 256
_NEAR_END = 32
_SPACE = " \t\r\n"
_LOOK_AHEAD = 1 << 26
"""Characters in which a line that is a record must come up for a file to be JSON Lines."""
_FOLLOW_CHARACTERS = 1 << 12
_BEHIND_RECORD = re.compile(
    r"\s*$"
    r"|\s*,\s*(?:\{|$)"
    r"|\s*\]\s*(?:$|[\[{])"
    r'|\s*,[ \t\r]*\n\s*[^"\s]'
    r'|[ \t\r]*\n\s*[^\]},"\s]'
)
"""What stands behind a record, and not behind an object inside a record."""
_BEHIND_INNER = re.compile(r'\s*(?:,\s*"|\})')
_BRACKET = re.compile(r"[\[{]")


def read_json(unit: Unit) -> Blocks:
    """Yield the records of a `.json` file."""
    yield from json_blocks(unit.file.chunks())


def json_blocks(chunks: Iterator[bytes]) -> Iterator[list[Any]]:
    """Yield the records of a `.json` file: an array, objects one after the other, or JSON Lines."""
    text = _Text(chunks)
    text.skip_space()
    if text.next() != "[" and _is_lines(text):
        for lines in line_blocks(text.chunks()):
            yield [lines] if isinstance(lines, Malformed) else parse_lines(lines)
        return
    values = _Values(text).read()
    while block := list(itertools.islice(values, _BLOCK_RECORDS)):
        yield block


def _is_lines(text: _Text) -> bool:
    """Return whether each line is a record of its own, damaged ones among them."""
    line, place = text.line(0)
    if place is None:
        return False
    if _is_value(line):
        return True
    if text.next() == "{" and text.has_value():
        return False
    while place is not None and place < _LOOK_AHEAD:
        line, place = text.line(place)
        if line.startswith("{") and _is_value(line):
            return True
    return False


def _is_value(line: str) -> bool:
    return not isinstance(parse_line(_encode(line)), Malformed | Empty)


class _Text:
    """Decoded text that grows as it is needed; bytes that are not UTF-8 are kept as surrogates."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = self._whole_chunks(chunks)
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text = ""
        self.place = 0
        self.at_end = False
        self.damage: str | None = None
        """What is wrong with the compressed data, once its end was reached."""
        self.grow()
        self._text = self._text.removeprefix("\ufeff")

    def _whole_chunks(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except DamagedFile as error:
            self.damage = error.detail

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

    def chunks(self) -> Iterator[bytes]:
        """Give all that was not yet used as bytes again.

        Raises:
            DamagedFile: The compressed data is damaged or ends early.
        """
        yield _encode(self.rest)
        yield from self._chunks
        if self.damage is not None:
            raise DamagedFile(self.damage)

    def line(self, offset: int) -> tuple[str, int | None]:
        """Give the line that starts so far from here, and where the next one does if it ends."""
        while True:
            start = self.place + offset
            end = self._text.find("\n", start)
            if end >= 0:
                return self._text[start:end], end + 1 - self.place
            if self.at_end:
                return self._text[start:], None
            self.grow()

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

    def value_end(self) -> int:
        """Find where the JSON value that starts here ends; its inside may still be wrong.

        Raises:
            DamagedFile: Its end cannot be found.
        """
        while True:
            try:
                end = _DECODER.raw_decode(self._text, self.place)[1]
            except json.JSONDecodeError as error:
                if self.at_end or not _may_be_cut(error, len(self._text)):
                    raise DamagedFile(f"not JSON: {error.msg}") from error
            except RecursionError as error:
                end = closing_bracket(self._text, self.place)
                if end is not None:
                    return end
                if self.at_end:
                    raise DamagedFile("not JSON: nested too deeply") from error
            else:
                # A number may go on in the next chunk.
                if end < len(self._text) or self.at_end:
                    return end
            self.grow()

    def has_value(self) -> bool:
        """Return whether a JSON value starts here whose end can be found."""
        try:
            self.value_end()
        except DamagedFile:
            return False
        return True

    def take_value(self) -> bytes:
        """Take the next JSON value, whose inside may still be wrong.

        Raises:
            DamagedFile: Its end cannot be found.
        """
        end = self.value_end()
        value = _encode(self._text[self.place : end])
        is_most = 2 * (end - self.place) > len(self._text)
        self.place = end
        if is_most:
            # A record may be as large as memory: one copy less while it is parsed.
            self._text, self.place = self.rest, 0
        return value

    def skip_to_record(self, is_record: Callable[[Any], bool]) -> int:
        """Move to the next place where a record starts, or to the end; count what was skipped."""
        skipped = 1
        self.place += 1
        while True:
            match = _BRACKET.search(self._text, self.place)
            start = len(self._text) if match is None else match.start()
            skipped += start - self.place
            self.place = start
            if match is None:
                if self.at_end:
                    return skipped
                self.grow()
                continue
            if match[0] == "{" and self._starts_record(is_record):
                return skipped
            step = 1 if match[0] == "{" else self._inner_list()
            self.place += step
            skipped += step

    def _inner_list(self) -> int:
        """Measure the list that starts here, if it is whole and lies in a record; else 1."""
        try:
            end = _DECODER.raw_decode(self._text, self.place)[1]
        except (json.JSONDecodeError, RecursionError):
            return 1
        return end - self.place if _BEHIND_INNER.match(self._text, end) else 1

    def _starts_record(self, is_record: Callable[[Any], bool]) -> bool:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.place)
            except RecursionError:
                return False
            except json.JSONDecodeError as error:
                if self.at_end or not _may_be_cut(error, len(self._text)):
                    return False
            else:
                if self.at_end or len(self._text) - end >= _FOLLOW_CHARACTERS:
                    return is_record(value) and _BEHIND_RECORD.match(self._text, end) is not None
            self.grow()


class _Values:
    """The values of a text, in an array or one after the other."""

    def __init__(self, text: _Text) -> None:
        self._text = text
        self._in_array = False
        self._was_array = False
        self._needs_comma = False
        self._has_comma = False
        self._has_stray = False
        self._keys: frozenset[str] = frozenset()
        """Those of the last whole record."""

    def read(self) -> Iterator[Any]:
        """Yield records, and `Malformed` wherever something is not as it must be."""
        text = self._text
        while True:
            text.skip_space()
            character = text.next()
            if not character:
                break
            if character in "[]," and (complaint := self._bracket(character)) is not None:
                yield from complaint
                continue
            yield from self._complaints_before_value(character)
            yield from self._value()
        if text.damage is not None:
            yield Malformed(text.damage)
        elif self._in_array:
            reason = "expected ',' or ']', found the end of the file"
            yield Malformed(f"not JSON: {reason}; what followed is lost")

    def _bracket(self, character: str) -> list[Malformed] | None:
        """Move past what is no part of a value; gives complaints, or nothing when it is one."""
        complaints: list[Malformed] = []
        if character == "[" and not self._in_array:
            complaints = self._outside()
            self._in_array, self._needs_comma, self._has_comma = True, False, False
        elif character == "]" and self._in_array:
            if self._has_comma:
                complaints = [Malformed("not JSON: a comma before the end of the array")]
            self._in_array, self._was_array = False, True
        elif character == "," and self._in_array and self._needs_comma:
            self._needs_comma, self._has_comma = False, True
        elif character in ",]" and not self._in_array:
            told, self._has_stray = self._has_stray, True
            complaints = [] if told else [Malformed(f"not JSON: {character!r} outside an array")]
        else:
            return None
        self._text.place += 1
        return complaints

    def _outside(self) -> list[Malformed]:
        told, self._was_array = self._was_array, False
        return [Malformed("not JSON: more text after the end of the array")] if told else []

    def _complaints_before_value(self, character: str) -> list[Malformed]:
        if not self._in_array:
            return self._outside()
        if not self._needs_comma:
            return []
        return [Malformed(f"not JSON: expected ',' or ']', found {character!r}")]

    def _value(self) -> Iterator[Any]:
        try:
            record = parse_line(self._text.take_value())
        except DamagedFile as error:
            count = self._text.skip_to_record(self._is_record)
            if not self._text.next():
                self._in_array = False
            self._needs_comma = self._has_comma = False
            yield Malformed(f"{error.detail}; {count} characters from here on are lost")
            return
        if isinstance(record, dict):
            self._keys = frozenset(record)
        self._needs_comma, self._has_comma = True, False
        yield record

    def _is_record(self, value: Any) -> bool:
        """Tell a record from an object inside a damaged one by the fields of the last record."""
        if not self._keys:
            return bool(value)
        return 2 * len(self._keys.intersection(value)) >= len(self._keys)


_DECODER = json.JSONDecoder(strict=False)


def _may_be_cut(error: json.JSONDecodeError, length: int) -> bool:
    """Return whether more text could resolve the error."""
    return error.msg.startswith("Unterminated string") or error.pos >= length - _NEAR_END


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


JSON = Reader(name="json", endings=("json",), read=read_json)
