"""The fields of sampled records: which one holds the text, which one names a domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mixscale.ingest.select.filters import as_object

_TEXT_NAMES = (
    "text", "content", "raw_content", "body", "markdown", "document", "article", "code",
    "page_content", "story", "passage", "abstract",
)  # fmt: skip
"""What published corpora call their text, the commonest first."""
_DOMAIN_NAMES = (
    "domain", "subset", "set", "set_name", "source", "corpus", "dataset", "category",
    "redpajama_set_name", "pile_set_name", "data_source", "collection",
)  # fmt: skip
_MOST_LEVELS = 3
_MOST_FIELDS = 300
_MOST_VALUES = 64
_LONGEST_NAME = 80
_LEAST_CHARACTERS = 20
_PART_OF_LONGEST = 0.2


@dataclass
class FieldCounts:
    """What the sampled records hold in one field."""

    texts: int = 0
    """Records in which it is text."""
    characters: int = 0
    values: Counter[str] | None = field(default_factory=Counter)
    """Records by short value; nothing once there are too many different ones."""

    def add(self, value: str) -> None:
        """Take in one text."""
        self.texts += 1
        self.characters += len(value)
        if self.values is not None:
            self.values[value] += 1
            if len(value) > _LONGEST_NAME or len(self.values) > _MOST_VALUES:
                self.values = None

    @property
    def mean(self) -> float:
        """Characters of a text, on average."""
        return self.characters / max(1, self.texts)


@dataclass
class Fields:
    """The fields of some records."""

    records: int = 0
    counts: dict[str, FieldCounts] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    """All fields at the top of records, texts or not."""

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in one record."""
        self.records += 1
        for name in list(record)[:_MOST_FIELDS]:
            self.names[str(name)] += 1
        for path, value in _texts(record, "", 1):
            if path not in self.counts:
                if len(self.counts) >= _MOST_FIELDS:
                    continue
                self.counts[path] = FieldCounts()
            self.counts[path].add(value)


def text_field(fields: Fields) -> str | None:
    """Choose the field that holds the text; nothing when none can be it.

    A name that published corpora use wins over a longer field, such as the page that a text comes
    from, unless its texts are shorter than a sentence.
    """
    often = {p: c for p, c in fields.counts.items() if 2 * c.texts >= fields.records and c.mean}
    if not often:
        return None
    longest = max(often.values(), key=lambda counts: counts.mean).mean
    for name in _TEXT_NAMES:
        for path, counts in often.items():
            is_named = path.rpartition(".")[2].lower() == name
            is_long = counts.mean >= min(_LEAST_CHARACTERS, _PART_OF_LONGEST * longest)
            if is_named and is_long:
                return path
    if longest < _LEAST_CHARACTERS:
        return None
    return max(often, key=lambda path: often[path].mean)


def domain_field(fields: Fields) -> tuple[str, Counter[str]] | None:
    """Find a field that names the domain of each record, with the records of each name."""
    for name in _DOMAIN_NAMES:
        for path, counts in fields.counts.items():
            is_named = path.rpartition(".")[2].lower() == name
            if is_named and counts.texts == fields.records and _is_division(counts.values):
                assert counts.values is not None
                return path, counts.values
    return None


def _is_division(values: Counter[str] | None) -> bool:
    """Whether values divide records into a few groups, none of which is a single record."""
    return values is not None and len(values) >= 2 and min(values.values()) >= 2


def _texts(record: Mapping[str, Any], above: str, level: int) -> Iterator[tuple[str, str]]:
    for key, value in record.items():
        path = above + _quoted(str(key))
        if isinstance(value, bytes):
            value = _decoded(value)
        if isinstance(value, str):
            inner = as_object(value) if level < _MOST_LEVELS and len(value) < 1 << 16 else value
            if not isinstance(inner, dict):
                yield path, value
                continue
            value = inner
        if isinstance(value, dict) and level < _MOST_LEVELS:
            yield from _texts(value, f"{path}.", level + 1)


def _decoded(value: bytes) -> Any:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _quoted(key: str) -> str:
    """Write a key as `text:` in corpus.yaml takes it."""
    return f'"{key}"' if "." in key else key
