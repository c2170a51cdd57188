"""What is kept beside a text, as JSON; what JSON cannot hold is left out, and said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from mixscale.ingest.corpus import NO_META, Domain
from mixscale.ingest.readers.malformed import PartlyRead, Unreadable
from mixscale.ingest.select.filters import Path, as_object, lookup, parse_path

LOSS = "meta not stored whole: "
"""Begins the detail of a record of whose meta something is missing."""
_META = "meta"
_MISSING = object()
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_MOST_LEVELS = 200
_LARGEST, _SMALLEST = (1 << 64) - 1, -(1 << 63)


@dataclass(frozen=True, kw_only=True)
class MetaRule:
    """What a domain keeps beside its texts."""

    text_field: str
    """The field that the text lies in."""
    path: Path | None = None
    """The one value to keep."""
    fields: tuple[Path, ...] | None = None
    """The fields to keep, also none at all; nothing when the settings do not say."""

    @staticmethod
    def of(domain: Domain) -> MetaRule:
        """Read the settings of a domain."""
        text_field = parse_path(domain.text)[0]
        if domain.meta is None:
            return MetaRule(text_field=text_field)
        if domain.meta == NO_META:
            return MetaRule(text_field=text_field, fields=())
        if isinstance(domain.meta, str):
            return MetaRule(text_field=text_field, path=parse_path(domain.meta))
        return MetaRule(text_field=text_field, fields=tuple(map(parse_path, domain.meta)))

    def json(self, record: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
        """Take what is kept of a record, as JSON, and say what of it could not be."""
        if self.fields == ():
            return None, None
        meta = self._value(record)
        stored, losses = (None, []) if meta is None else to_json(meta)
        if isinstance(record, PartlyRead):
            losses = [record.loss, *losses]
        return stored, LOSS + "; ".join(losses) if losses else None

    def _value(self, record: Mapping[str, Any]) -> Any:
        if self.path is not None:
            return _parsed(lookup(record, self.path))
        if self.fields is not None:
            return _chosen(record, self.fields)
        if _META in record:
            return _parsed(record[_META])
        return {key: value for key, value in record.items() if key != self.text_field} or None


def _parsed(value: Any) -> Any:
    """Read what is an object written as text, as the hub's copy of RedPajama has it."""
    return as_object(value) if isinstance(value, str) else value


def _chosen(record: Mapping[str, Any], fields: tuple[Path, ...]) -> dict[str, Any]:
    """Copy some fields of a record, at the places that they have there."""
    chosen: dict[str, Any] = {}
    for path in fields:
        value = lookup(record, path, _MISSING)
        if value is _MISSING:
            continue
        place = chosen
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
    return chosen


def to_json(value: Any) -> tuple[bytes, list[str]]:
    """Write a value as JSON; what JSON has no form for becomes text, or null with a reason."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS), []
    except TypeError:
        losses: dict[str, None] = {}
        value = _storable(value, 0, losses)
        return orjson.dumps(value, default=_plain, option=_OPTIONS), list(losses)


def _plain(value: Any) -> Any:
    if isinstance(value, Unreadable):
        raise TypeError
    # A text that is no UTF-8 raises an error, too.
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _storable(value: Any, level: int, losses: dict[str, None]) -> Any:
    """Copy a value without what JSON cannot hold."""
    if isinstance(value, dict | list | tuple) and level == _MOST_LEVELS:
        losses[f"nested more than {_MOST_LEVELS} levels, what lies deeper is left out"] = None
        return None
    if isinstance(value, dict):
        return {_text(key, losses): _storable(v, level + 1, losses) for key, v in value.items()}
    if type(value) in (list, tuple):
        return [_storable(item, level + 1, losses) for item in value]
    if isinstance(value, Unreadable):
        losses[f"a field is {value.detail}"] = None
        return None
    if isinstance(value, bytes):
        return _text(value, losses)
    if isinstance(value, str):
        return _text(value, losses)
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        return str(value)
    return value


def _text(value: Any, losses: dict[str, None]) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            losses["a field is binary and not UTF-8, shown with replacement characters"] = None
            return value.decode("utf-8", "replace")
    text = value if isinstance(value, str) else str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        losses["a field has bytes or half of a surrogate pair that are no text, shown as ?"] = None
        return text.encode("utf-8", "replace").decode("utf-8")
    return text
