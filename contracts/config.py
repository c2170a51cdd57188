"""Strict settings: YAML in, frozen models out, every complaint with its file, line and key."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from mixscale.contracts.errors import UserError


class Config(BaseModel):
    """Base of every settings model: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    ways_out: ClassVar[Mapping[str, str]] = {}
    """What to do about keys that other programs have and this one does not, by key."""


ConfigType = TypeVar("ConfigType", bound=BaseModel)

_TOKEN_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


TokenBudget = int | str
"""A number of tokens as a person gives it: 300_000_000_000, or "300B", "1.2b", "400k", "1e9"."""


def parse_tokens(value: object) -> int:
    """Read a number of tokens.

    Args:
        value: A `TokenBudget`: a whole number (of Python or numpy, also as a float), or text such
            as `300B`, `1.2b`, `400k`, `50_000`, `1,000,000`, `1e9`,
            where k, M, B and T stand for 10^3, 10^6, 10^9 and 10^12.

    Raises:
        UserError: The value is no whole number of tokens, or a negative one.
    """
    if isinstance(value, str):
        return _tokens_from_text(value)
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if number >= 0 and number.is_integer():
            return int(value) if isinstance(value, Integral) else int(number)
    raise UserError(f"{value!r} is not a whole number of tokens; {_TOKENS_HINT}")


_TOKENS_HINT = "write for example 300B, 1.2M or 50000"


def _tokens_from_text(text: str) -> int:
    # One comma alone may be a decimal point.
    if re.fullmatch(r"\s*[0-9]{1,3}(,[0-9]{3}){2,}\s*", text):
        text = text.replace(",", "")
    match = re.fullmatch(
        r"\s*([0-9][0-9_]*\.?[0-9]*(?:e\+?[0-9]{1,2})?)\s*([kmbt]?)\s*", text.lower()
    )
    if match is None:
        raise UserError(f"{text!r} is not a number of tokens; {_TOKENS_HINT}")
    # As a float 16.4 times a billion is no whole number.
    tokens = Decimal(match[1].replace("_", "")) * _TOKEN_SUFFIXES[match[2]]
    if tokens != tokens.to_integral_value():
        raise UserError(f"{text!r} is not a whole number of tokens")
    return int(tokens)


def format_tokens(tokens: float) -> str:
    """Write a token count for people, with three digits: 300B, 1.2M, 50k."""
    for suffix in ("k", "M", "B", "T"):
        size = _TOKEN_SUFFIXES[suffix.lower()]
        # Rounding to three digits may reach the next suffix: 999,999 is 1M.
        if abs(tokens) >= size * 0.9995 and (suffix == "T" or abs(tokens) < size * 999.5):
            digits = ".3g" if abs(tokens) < size * 999.5 else ".0f"
            return f"{tokens / size:{digits}}{suffix}"
    return f"{tokens:.0f}"


def _read_text_tokens(value: object) -> object:
    # What is no text is left to pydantic, which names what it found and what is allowed.
    return _tokens_from_text(value) if isinstance(value, str) else value


TokenCount = Annotated[int, BeforeValidator(_read_text_tokens)]
"""The type of a settings key that holds a number of tokens; YAML may write 300B, 1.2M or 50k."""

Count = Annotated[int, Field(ge=0)]
"""A number of things, zero or more."""


def read_yaml(path: str | Path) -> CommentedMap:
    """Read one YAML mapping that remembers its line numbers.

    Raises:
        UserError: The file is missing, is not YAML, or does not hold a mapping.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{source}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 text (byte {error.start})") from error
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        problem = (error.problem or "cannot parse").splitlines()[0]
        raise UserError(f"{source}:{line}: not valid YAML: {problem}") from error
    except YAMLError as error:
        raise UserError(f"{source}: not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(document, CommentedMap):
        raise UserError(f"{source}: expected a YAML mapping (key: value), found {_kind(document)}")
    return document


def read_json(path: str | Path, hint: str = "") -> dict[str, Any]:
    """Read one JSON object.

    Args:
        path: The file.
        hint: What to do when it cannot be read.

    Raises:
        UserError: The file is missing, is not JSON, or holds no object.
    """
    source = Path(path)
    remedy = f"; {hint}" if hint else ""
    try:
        values = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{source}: cannot read: {error.strerror}{remedy}") from error
    except ValueError as error:
        raise UserError(f"{source}: not JSON ({error}){remedy}") from error
    if not isinstance(values, dict):
        raise UserError(f"{source}: expected a JSON object{remedy}")
    return values


def plain(value: Any) -> Any:
    """Copy a YAML document into plain dictionaries, lists and scalars."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    for scalar in (bool, int, float, str):
        # ruamel keeps the quoting or the notation in subclasses of the scalar types.
        if isinstance(value, scalar):
            return scalar(value)
    return value


def load_config(path: str | Path, model: type[ConfigType]) -> ConfigType:
    """Read a YAML file into a settings model.

    Raises:
        UserError: One line for each mistake, naming file, line, key, value and what is allowed.
    """
    document = read_yaml(path)
    return validate(plain(document), model, str(path), document)


def validate(
    values: Mapping[str, Any],
    model: type[ConfigType],
    where: str,
    document: CommentedMap | None = None,
) -> ConfigType:
    """Check values against a settings model; `document` supplies line numbers when there is one.

    Raises:
        UserError: One line for each mistake.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError("\n".join(_complaints(error, model, where, document))) from error


def line_of(document: Any, keys: Sequence[str | int]) -> int | None:
    """Find the 1-based line of the deepest of the nested `keys` that the YAML document has."""
    line = None
    node = document
    for key in keys:
        if isinstance(node, CommentedMap) and key in node:
            line = _line_of_key(node, key) or line
        elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
            line = node.lc.item(key)[0] + 1
        else:
            continue  # pydantic also puts the names of union members into a location
        node = node[key]
    return line


def _line_of_key(mapping: CommentedMap, key: str | int) -> int | None:
    """Find the line of a key, which may come from a mapping that is merged into this one (<<)."""
    # A document made in memory has no lines at all.
    if key in (mapping.lc.data or {}):
        return mapping.lc.key(key)[0] + 1
    for merged in getattr(mapping.merge, "value", ()):
        if key in merged:
            return _line_of_key(merged, key)
    return None


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__.removeprefix('Commented')}"


def _complaints(
    error: ValidationError, model: type[BaseModel], where: str, document: CommentedMap | None
) -> list[str]:
    """Write one line for each mistake; the keys that a section may have are listed only once."""
    lines: dict[tuple[object, ...], str] = {}
    listed: set[tuple[str | int, ...]] = set()
    meant: set[tuple[str | int, ...]] = set()
    # A key that was misspelt is missing, too, which goes without saying.
    for item in sorted(error.errors(), key=lambda item: item["type"] == "missing"):
        keys = tuple(key for key in item["loc"] if not _is_union_member(key, item))
        if item["type"] == "missing" and keys in meant:
            continue
        line = line_of(document, keys) if document is not None else None
        name = ".".join(str(part) for part in keys) or "(top level)"
        message = _message(item)
        if item["type"] == "extra_forbidden":
            section = keys[:-1]
            section_model = _model_at(model, section)
            near = _nearest(str(keys[-1]), section_model)
            meant |= {(*section, near)} if near else set()
            hint = _way_out(str(keys[-1]), section_model, near, is_listed=section in listed)
            if "; allowed here" in hint:
                listed.add(section)
            message = f"unknown key{hint}"
        place = f"{where}:{line}" if line else where
        # Where a mapping is merged into several others, its keys are theirs, on one line.
        lines.setdefault(
            (line, keys[-1:], message) if line else (keys, message), f"{place}: {name}: {message}"
        )
    return list(lines.values())


def _message(item: Any) -> str:
    if item["type"] == "missing":
        return "missing"
    message = item["msg"].removeprefix("Value error, ")
    found = item.get("input")
    if isinstance(found, str | int | float | bool) or found is None:
        return f"{message} (found {found!r})"
    return message


def _nearest(key: str, model: type[BaseModel] | None) -> str | None:
    if model is None or key in getattr(model, "ways_out", {}):
        return None
    return next(iter(difflib.get_close_matches(key, model.model_fields, n=1)), None)


def _way_out(key: str, model: type[BaseModel] | None, near: str | None, *, is_listed: bool) -> str:
    """Say what may have been meant by a key, or which keys there are."""
    if model is None:
        return ""
    way_out = getattr(model, "ways_out", {}).get(key)
    if way_out is not None:
        return f"; {way_out}"
    if near is not None:
        return f"; did you mean {near!r}?"
    return "" if is_listed else f"; allowed here: {', '.join(sorted(model.model_fields))}"


def _is_union_member(key: object, item: Any) -> bool:
    """Whether pydantic added this to a location to name a union member; no file has such a key."""
    if not isinstance(key, str):
        return False
    return bool(re.search(r"[\[\]()]", key)) or key in {"str", "int", "float", "bool"}


def _model_at(model: type[BaseModel], keys: Sequence[str | int]) -> type[BaseModel] | None:
    """Find the settings model that `keys` leads to, or none when unsure."""
    current: Any = model
    for key in keys:
        found = _below(current, key)
        if found is None:
            return None
        current = found
    return _as_model(current)


def _below(annotation: Any, key: str | int) -> Any:
    """Return the type of what lies under a key of a value of some type."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _below(inner[0], key)
    if origin in (Union, types.UnionType):
        members = [member for member in inner if _is_tagged(member, key)]
        return members[0] if members else _first(_below(member, key) for member in inner)
    if origin is dict:
        return inner[1]
    if origin in (tuple, list):
        return inner[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(key))
        return None if field is None else field.annotation
    return None


def _is_tagged(member: Any, key: str | int) -> bool:
    """Whether this member of a union is the one that `type: key` chooses."""
    if not (isinstance(member, type) and issubclass(member, BaseModel)):
        return False
    field = member.model_fields.get("type")
    return (
        field is not None
        and get_origin(field.annotation) is Literal
        and key in get_args(field.annotation)
    )


def _as_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    members = (_as_model(member) for member in get_args(annotation))
    return _first(members)


def _first(found: Iterable[Any]) -> Any:
    return next((item for item in found if item is not None), None)
