"""Conditions on a record's fields, such as `meta.language == en`."""

from __future__ import annotations

import datetime
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_SYNTAX = re.compile(
    r"""\s*(?P<field>(?:"[^"]+"|[^\s=!<>~"])+)\s*"""
    r"(?P<operator>==|!=|<=|>=|<|>|(?:not\s+)?(?:in|contains|matches)\b|exists\b|missing\b)"
    r"\s*(?P<value>.*?)\s*",
    re.DOTALL,
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?")
_ITEM = re.compile(
    r"""\s*(?P<item>"[^"]*"|'[^']*'|(?!["'])[^,]*?)\s*(?:,|$)""",
)
_MISSING = object()
_HELP = (
    "write FIELD OPERATOR VALUE, for example `meta.language == en`; operators are "
    "==, !=, <, <=, >, >=, in [a, b], not in [a, b], contains, not contains, matches, "
    "not matches, exists, missing"
)

Path = tuple[str, ...]


def parse_path(text: str) -> Path:
    """Split a dotted path into its keys; dots in double quotes belong to a key."""
    keys = re.findall(r'(?:"[^"]*"|[^."])+|(?<=\.)$|^(?=\.)', text)
    return tuple(key.replace('"', "") for key in keys)


def lookup(record: Any, path: Path, default: Any = None) -> Any:
    """Follow the keys of `path` into nested mappings; `default` when one is not there.

    A mapping may also be text that holds a JSON object, and a key may itself have dots.
    """
    for number, key in enumerate(path):
        if isinstance(record, str):
            record = as_object(record)
        if not isinstance(record, dict):
            return default
        if key not in record:
            return _by_longer_key(record, path[number:], default)
        record = record[key]
    return record


def _by_longer_key(record: dict[str, Any], path: Path, default: Any) -> Any:
    for length in range(2, len(path) + 1):
        key = ".".join(path[:length])
        if key in record:
            return lookup(record[key], path[length:], default)
    return default


def as_object(text: str) -> Any:
    """Read text that holds a JSON object; other text comes back as it is."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return orjson.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One condition; a record without the field meets only `!=`, `missing` and what has `not`."""

    text: str
    path: Path
    operator: str
    value: Any

    def accepts(self, record: Mapping[str, Any]) -> bool:
        """Return whether the record meets the condition."""
        return _OPERATORS[self.operator](lookup(record, self.path, _MISSING), self.value)


def parse_filter(text: str) -> Filter:
    """Read one condition.

    Raises:
        ValueError: It is not one.
    """
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a filter; {_HELP}")
    name = " ".join(match["operator"].split())
    if (name in _WITHOUT_VALUE) == bool(match["value"]):
        raise ValueError(f"{text!r} is not a filter; {_HELP}")
    if name in ("in", "not in") and not re.fullmatch(r"\[.*\]", match["value"]):
        raise ValueError(f"{text!r} is not a filter: `{name}` needs a list, as in [a, b]")
    value = _parse_value(match["value"])
    is_date = isinstance(value, str) and _DATE.fullmatch(value) is not None
    if name in _ORDERED and not (isinstance(value, int | float) or is_date):
        raise ValueError(f"{text!r} is not a filter: `{name}` compares numbers or dates")
    if name in _PATTERNS:
        value = _parse_pattern(text, str(value))
    return Filter(text=text, path=parse_path(match["field"]), operator=name, value=value)


def _parse_pattern(text: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{text!r} is not a filter: not a regular expression: {error}") from error


def _parse_value(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return tuple(_parse_value(item) for item in _items(text))
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text in _WORDS:
        return _WORDS[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _items(text: str) -> list[str]:
    """Cut a list at the commas that are in no quotes."""
    items: list[str] = []
    place, end = 1, len(text) - 1
    while place < end:
        match = _ITEM.match(text, place, end)
        if match is None:
            raise ValueError(f"{text!r}: a quote is not closed, or something stands behind it")
        if match["item"]:
            items.append(match["item"])
        place = match.end()
    return items


def _equal(found: Any, wanted: Any) -> bool:
    """Compare as YAML would write it, so that `year == 2020` meets both 2020 and "2020"."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, str) and isinstance(wanted, int | float):
        return found == str(wanted)
    if isinstance(found, datetime.date) and isinstance(wanted, str):
        return _date_text(found) == wanted.replace(" ", "T")
    return found == wanted


def _date_text(found: Any) -> str | None:
    """Write a day or a moment as ISO 8601 does; nothing for what is neither."""
    if isinstance(found, datetime.date):
        return found.isoformat()
    if isinstance(found, str) and _DATE.match(found):
        return found.replace(" ", "T", 1)
    return None


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def accepts(found: Any, wanted: Any) -> bool:
        if isinstance(wanted, str):
            text = _date_text(found)
            # A day holds all its moments.
            return text is not None and compare(text[: len(wanted)], wanted.replace(" ", "T"))
        if isinstance(found, str):
            # RedPajama writes some numbers as text, such as `question_score`.
            try:
                found = float(found)
            except ValueError:
                return False
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return is_number and compare(found, wanted)

    return accepts


def _in(found: Any, wanted: Any) -> bool:
    return any(_equal(found, value) for value in wanted)


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, str):
        return str(wanted) in found
    return isinstance(found, list | tuple) and any(_equal(item, wanted) for item in found)


def _matches(found: Any, wanted: Any) -> bool:
    items = found if isinstance(found, list | tuple) else (found,)
    return any(isinstance(item, str) and wanted.search(item) for item in items)


_PATTERNS = ("matches", "not matches")
_WORDS = {"true": True, "false": False, "null": None}
_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_WITHOUT_VALUE = {
    "exists": lambda found, _: found is not _MISSING,
    "missing": lambda found, _: found is _MISSING,
}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": lambda found, wanted: not _equal(found, wanted),
    "in": _in,
    "not in": lambda found, wanted: not _in(found, wanted),
    "contains": _contains,
    "not contains": lambda found, wanted: not _contains(found, wanted),
    "matches": _matches,
    "not matches": lambda found, wanted: not _matches(found, wanted),
    **{name: _ordered(compare) for name, compare in _ORDERED.items()},
    **_WITHOUT_VALUE,
}
