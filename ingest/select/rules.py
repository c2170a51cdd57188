"""What one domain asks of a record, in the form that workers apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from mixscale.ingest.corpus import Corpus, Domain, Window, domain_names
from mixscale.ingest.readers.malformed import Unreadable
from mixscale.ingest.select.filters import Filter, Path, lookup, parse_filter, parse_path
from mixscale.ingest.select.meta_json import MetaRule

_MISSING = object()
_LONGEST_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How the records of one domain are read."""

    domain: str
    text: Path
    meta: MetaRule
    filters: tuple[Filter, ...]
    min_characters: int
    window: Window | None

    def refusing_filter(self, record: Mapping[str, Any]) -> str | None:
        """Name the first filter that leaves the record out."""
        for condition in self.filters:
            if not condition.accepts(record):
                return condition.text
        return None


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Which domain a record names."""

    path: Path
    ranks: Mapping[str, int]
    """From the value of the field, as YAML writes it, to the number of the rule."""

    def rank(self, record: Mapping[str, Any]) -> int | None:
        """Number the rule of a record, or nothing when it names no domain.

        Of a list the first value counts that names one.
        """
        value = lookup(record, self.path)
        values = value if isinstance(value, list) else (value,)
        found = (self.ranks.get(name) for item in values for name in _names(item))
        return next((rank for rank in found if rank is not None), None)

    def complaint(self, record: Any) -> str:
        """Say why a record names no domain."""
        name = ".".join(self.path)
        value = lookup(record, self.path, _MISSING)
        if value is not _MISSING:
            shown = repr(value) if isinstance(value, str | int | float) else _kind(value)
            found = f"it is {shown[:_LONGEST_SHOWN]}"
        else:
            found = f"the record has {_keys(record)}" if isinstance(record, dict) else "no field"
        return f"{name!r} names none of the domains; {found}"


def _names(value: Any) -> tuple[str, ...]:
    """Write a value in the ways that a key of corpus.yaml may have been written."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bool):
        return (str(value), str(value).lower())
    if isinstance(value, float) and value.is_integer():
        return (str(value), str(int(value)))
    return (str(value),) if isinstance(value, int | float) else ()


def make_rules(corpus: Corpus) -> tuple[Rule, ...]:
    """Make the rules of all domains, in the order of the corpus config."""
    return tuple(_rule(name, corpus.domains.get(name, Domain())) for name in domain_names(corpus))


def make_routing(corpus: Corpus) -> Routing | None:
    """Make the routing of the corpus, when it has one."""
    if corpus.route is None:
        return None
    names = domain_names(corpus)
    ranks = {value: names.index(name) for value, name in corpus.route.domains.items()}
    return Routing(path=parse_path(corpus.route.field), ranks=ranks)


def find_text(record: Any, path: Path) -> str | tuple[str, str]:
    """Take the text of a record, or the status and detail of a record without one."""
    if not isinstance(record, dict):
        return "malformed", f"expected an object with fields, found {_kind(record)}"
    text = lookup(record, path, _MISSING)
    if isinstance(text, str):
        return text if text else ("empty", "the text has no characters")
    name = ".".join(path)
    if isinstance(text, bytes):
        return _decoded(name, text)
    if isinstance(text, Unreadable):
        return "malformed", f"{name!r}: {text.detail}"
    if text is _MISSING:
        return "malformed", f"no field {name!r}; the record has {_keys(record)}"
    if text is None:
        return "empty", f"{name!r} is null"
    return "malformed", f"{name!r} is {_kind(text)}, not text"


def is_unicode(text: str) -> bool:
    """Return whether a text has no half of a surrogate pair in it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def cut_window(text: str, window: Window) -> str:
    """Take the window's part of a text; a shorter text stays whole."""
    if window.head is not None:
        return text[: window.head]
    length = window.random or 0
    places = len(text) - length + 1
    if places <= 1:
        return text
    start = xxhash.xxh3_64_intdigest(text.encode("utf-8"), seed=window.seed) % places
    return text[start : start + length]


def _decoded(name: str, text: bytes) -> str | tuple[str, str]:
    """Read the text of a binary column, as Parquet writers without logical types leave it."""
    try:
        return text.decode("utf-8") or ("empty", "the text has no characters")
    except UnicodeDecodeError as error:
        return "malformed", f"{name!r} is binary and not UTF-8 at byte {error.start + 1}"


def _rule(name: str, domain: Domain) -> Rule:
    return Rule(
        domain=name,
        text=parse_path(domain.text),
        meta=MetaRule.of(domain),
        filters=tuple(parse_filter(text) for text in domain.filters),
        min_characters=domain.min_characters,
        window=domain.window,
    )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "a value")


def _keys(record: Mapping[str, Any]) -> str:
    names = [repr(str(key)) for key in list(record)[:8]]
    return ", ".join(names) + (", …" if len(record) > 8 else "") if names else "no fields"
