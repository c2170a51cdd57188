"""What single cells of tables hold: numbers as people write them, and nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mixscale.contracts.config import parse_tokens
from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats

_MISSING = ("", "nan", "null", "none", "na", "n/a", "#n/a", "-", "inf", "-inf")
_GROUPS = re.compile(r"\d{1,3}([, '\u00a0\u202f])\d{3}(\1\d{3})*(\.\d+)?")
"""Digits in groups of three."""
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_UNIT_WORDS = re.compile(r"\s*(tokens?|toks?|params?|parameters)$", re.IGNORECASE)
_SIZE_IN_LABEL = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*([kmbt])(?![a-z0-9])", re.IGNORECASE)


def is_number(item: Any) -> bool:
    """Whether a cell holds a number, as a number or as text such as `1B` or `12 %`."""
    return read_number(item) is not None


def read_number(item: Any, counts: bool = False) -> float | None:
    """A cell's number; None for text, booleans and what is missing.

    Args:
        item: The cell.
        counts: Whether it counts things: `1,250` is then 1250, and else 1.25 as written with a
            decimal comma.
    """
    if item is None or isinstance(item, bool | np.bool_):
        return None
    if isinstance(item, int | float | np.integer | np.floating):
        return float(item) if np.isfinite(item) else None
    text = str(item).strip()
    if text.endswith("%"):
        return read_number(text[:-1])
    text = _plain_digits(_UNIT_WORDS.sub("", text), counts)
    for reader in (float, parse_tokens):
        try:
            value = reader(text)
        except (ValueError, UserError):
            continue
        return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
    return None


def _plain_digits(text: str, counts: bool) -> str:
    """Digits without marks between thousands, and with a point for a decimal comma."""
    grouped = _GROUPS.fullmatch(text)
    if grouped and (grouped[1] != "," or counts or grouped[2] or grouped[3]):
        return text.replace(grouped[1], "")
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def read_size(item: Any) -> float | None:
    """A cell's number of parameters: a number, or a label that holds one, as `pythia-70m`."""
    value = read_number(item, counts=True)
    if value is not None or not isinstance(item, str):
        return value
    found = _SIZE_IN_LABEL.findall(item)
    return None if len(found) != 1 else read_number("".join(found[0]))


def is_missing(item: Any) -> bool:
    """Whether a cell holds nothing."""
    if item is None or (isinstance(item, float) and not np.isfinite(item)):
        return True
    return isinstance(item, str) and item.strip().lower() in _MISSING


def numbers(column: Sequence[Any]) -> Floats:
    """(rows,) numbers of a column; nan where a cell holds none."""
    return _read(column, read_number)


def counts(column: Sequence[Any]) -> Floats:
    """(rows,) the same for a column that counts things."""
    return _read(column, lambda item: read_number(item, counts=True))


def sizes(column: Sequence[Any]) -> Floats:
    """(rows,) the same for a column of model sizes."""
    return _read(column, read_size)


def _read(column: Sequence[Any], reader: Any) -> Floats:
    read = [reader(item) for item in column]
    return np.array([np.nan if value is None else value for value in read], dtype=np.float64)


def is_numeric(column: Sequence[Any]) -> bool:
    """Whether most cells that hold anything hold numbers.

    One cell that says `crashed` must not make a whole column vanish.
    """
    held = [item for item in column if not is_missing(item)]
    return 2 * sum(is_number(item) for item in held) > len(held)


def is_positional(column: Sequence[Any]) -> bool:
    """Whether a column only counts its rows."""
    values = numbers(column)
    count = np.arange(len(values))
    return bool((values == count).all() or (values == count + 1).all())
