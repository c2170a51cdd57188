"""Conditions on a record's fields, such as `meta.language == en`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_SYNTAX = re.compile(
    r"\s*(?P<field>[^\s=!<>~]+)\s*"
    r"(?P<operator>==|!=|<=|>=|<|>|not\s+in\b|in\b|exists\b|missing\b)\s*(?P<value>.*?)\s*"
)
_ITEM = re.compile(
    r"""\s*(?P<item>"[^"]*"|'[^']*'|(?!["'])[^,]*?)\s*(?:,|$)""",
)
_MISSING = object()
_HELP = (
    "write FIELD OPERATOR VALUE, for example `meta.language == en`; operators are "
    "==, !=, <, <=, >, >=, in [a, b], not in [a, b], exists, missing"
)

Path = tuple[str, ...]


def parse_path(text: str) -> Path:
    """Split a dotted path into its keys."""
    return tuple(text.split("."))


def lookup(record: Any, path: Path, default: Any = None) -> Any:
    """Follow the keys of `path` into nested mappings; `default` when one is not there."""
    for key in path:
        if not isinstance(record, dict) or key not in record:
            return default
        record = record[key]
    return record


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One condition; a record that lacks the field meets only `!=`, `not in` and `missing`."""

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
    if name in _ORDERED and not isinstance(value, int | float):
        raise ValueError(f"{text!r} is not a filter: `{name}` compares numbers")
    return Filter(text=text, path=parse_path(match["field"]), operator=name, value=value)


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
    return found == wanted


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def accepts(found: Any, wanted: Any) -> bool:
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
    **{name: _ordered(compare) for name, compare in _ORDERED.items()},
    **_WITHOUT_VALUE,
}
