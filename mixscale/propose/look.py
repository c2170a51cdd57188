"""What samples of some files hold: fields, documents, bytes of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from mixscale.ingest.readers.malformed import Empty, Malformed
from mixscale.ingest.select.filters import parse_path
from mixscale.ingest.select.rules import find_text
from mixscale.propose.beginning import FirstRecords, first_records
from mixscale.propose.fields import Fields, text_field
from mixscale.propose.listing import ListedFile

PLAIN_BYTES = 32_000_000
"""So much plain text is read in all."""
_MOST_FILES = 64
_MOST_RECORDS = 20_000
"""Of a file, whose fields are looked at."""
_END_OF_TEXT = "<|endoftext|>"
_PARAGRAPHS = "\n\n"
_FEW_DOCUMENTS = 20
_ENOUGH_PIECES = 40


@dataclass(kw_only=True)
class Look:
    """Files of one ending, as a sample of them shows them."""

    files: list[ListedFile]
    ending: str
    format: str
    fields: Fields = field(default_factory=Fields)
    malformed: Counter[str] = field(default_factory=Counter)
    """Sampled records that cannot be read, by reason."""
    unreadable: list[str] = field(default_factory=list)
    """Sampled files that cannot be read, with the reason."""
    samples: list[tuple[list[dict[str, Any]], float, int]] = field(default_factory=list)
    """Of each sampled file: records, how many times as much it holds, its size in bytes."""
    separator: str | None = None
    """What stands between the documents of text files; nothing when a file is one document."""

    @property
    def text(self) -> str | None:
        """The field that holds the text."""
        return text_field(self.fields)


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much text there is, estimated from a sample."""

    documents: float
    text_bytes: float
    """UTF-8 bytes of the texts."""
    distinct: float
    """Part of the sampled bytes that no earlier text repeats."""

    @property
    def distinct_bytes(self) -> float:
        """Bytes of text that are left when of equal texts one stays."""
        return self.text_bytes * self.distinct

    @property
    def distinct_documents(self) -> float:
        """Documents that are left, about."""
        return self.documents * self.distinct


class Reader:
    """Reads samples of files, each file once."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that the files are named from."""
        self._folder = folder
        self._read: dict[tuple[tuple[str, ...], str], tuple[int, FirstRecords]] = {}

    def look(self, files: Sequence[ListedFile], plain_bytes: float) -> list[Look]:
        """Sample files, those of each ending by themselves.

        Args:
            files: Of any formats that are known.
            plain_bytes: So much plain text may be read.
        """
        endings = sorted({(file.ending, file.format or "") for file in files})
        return [
            self._look_at(
                [file for file in files if (file.ending, file.format) == (ending, name)],
                ending,
                name,
                plain_bytes / len(endings),
            )
            for ending, name in endings
        ]

    def _look_at(
        self, files: list[ListedFile], ending: str, format_name: str, plain_bytes: float
    ) -> Look:
        found = Look(files=files, ending=ending, format=format_name)
        chosen = spread(files, _MOST_FILES)
        for file in chosen:
            first = self._records(file, format_name, int(plain_bytes / len(chosen)) + 1)
            if first.error is not None:
                found.unreadable.append(f"{file.path}: {first.error}")
                continue
            records = []
            for record in first.records:
                if isinstance(record, dict):
                    if len(records) < _MOST_RECORDS:
                        found.fields.add(record)
                    records.append(record)
                elif isinstance(record, Malformed):
                    found.malformed[record.detail] += 1
                elif not isinstance(record, Empty):
                    found.malformed["not an object with fields"] += 1
            found.samples.append((records, first.factor, file.size))
        return found

    def _records(self, file: ListedFile, format_name: str, most_bytes: int) -> FirstRecords:
        known = self._read.get((file.parts, format_name))
        if known is not None and known[0] >= most_bytes:
            return known[1]
        found = first_records(self._folder.joinpath(*file.parts), format_name, most_bytes)
        self._read[file.parts, format_name] = most_bytes, found
        return found


def spread(files: Sequence[ListedFile], most: int) -> list[ListedFile]:
    """Take at most so many files, evenly spaced."""
    if len(files) <= most:
        return list(files)
    return [files[number * len(files) // most] for number in range(most)]


def amount(look: Look, text: str, seen: set[bytes]) -> Amount:
    """Estimate documents and bytes of all files from those that were sampled.

    Args:
        look: The sample.
        text: Field with the text.
        seen: Hashes of texts that other domains have; those of these texts are added.
    """
    documents = text_bytes = 0.0
    sampled = distinct = 0
    raw = 0
    path = parse_path(text)
    for records, factor, size in look.samples:
        raw += size
        for record in records:
            found = find_text(record, path)
            if not isinstance(found, str):
                continue
            data = found.encode("utf-8", "replace")
            documents += factor
            text_bytes += factor * len(data)
            sampled += len(data)
            digest = xxhash.xxh3_128_digest(data)
            if digest not in seen:
                seen.add(digest)
                distinct += len(data)
    if look.format == "text" and look.separator is None:
        # The beginning of a long text is not several of them.
        documents = float(sum(len(records) for records, _, _ in look.samples))
    whole = sum(file.size for file in look.files) / raw if raw else 0.0
    return Amount(
        documents=documents * whole,
        text_bytes=text_bytes * whole,
        distinct=distinct / sampled if sampled else 1.0,
    )


def divide(looks: Sequence[Look]) -> None:
    """Find what divides text files into documents, and divide the samples by it.

    An end-of-text token does wherever it is found. Where there are so few files that none can be
    held out for validation, blank lines do, or else every line is a document.
    """
    if not all(look.format == "text" for look in looks):
        return
    whole = [
        str(record.get("text", ""))
        for look in looks
        for records, _, _ in look.samples
        for record in records
    ]
    are_few = sum(len(look.files) for look in looks) < _FEW_DOCUMENTS
    if sum(text.count(_END_OF_TEXT) for text in whole):
        _divide_by(looks, _END_OF_TEXT)
    elif are_few and sum(text.count(_PARAGRAPHS) for text in whole) >= _ENOUGH_PIECES:
        _divide_by(looks, _PARAGRAPHS)
    elif are_few and sum(text.count("\n") for text in whole) >= _ENOUGH_PIECES:
        _divide_by(looks, "\n")
        for look in looks:
            look.format = "lines"


def _divide_by(looks: Sequence[Look], separator: str) -> None:
    for look in looks:
        look.separator = separator
        look.samples = [
            (
                [
                    {"text": piece.strip("\r\n")}
                    for record in records
                    for piece in str(record.get("text", "")).split(separator)
                    if piece.strip("\r\n")
                ],
                factor,
                size,
            )
            for records, factor, size in look.samples
        ]


def texts(
    looks: Iterable[Look], text: str, most_bytes: int, most_files: int | None = None
) -> list[str]:
    """Give sampled texts, at most about so many bytes of them, of so many files of each ending."""
    path = parse_path(text)
    given: list[str] = []
    size = 0
    for look in looks:
        step = 1 if most_files is None else -(-len(look.samples) // most_files) or 1
        for records, _, _ in look.samples[::step]:
            for record in records:
                found = find_text(record, path)
                if isinstance(found, str) and size < most_bytes:
                    given.append(found)
                    size += len(found)
    return given
