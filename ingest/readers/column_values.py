"""The values of an Arrow column as Python has them; a value that it cannot have spoils no other."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from mixscale.ingest.readers.malformed import Unreadable

_NOT_READABLE = (ValueError, OverflowError, NotImplementedError, pa.ArrowException)


def column_values(column: pa.Array) -> list[Any]:
    """Give the values of a column; `Unreadable` stands for one that cannot be read.

    Moments, days and durations that Python's own types cannot hold (nanoseconds, years outside 1 to
    9999) become text. The result is the same with and without pandas installed.
    """
    try:
        # A slice of a field that is shorter than its column would end the process.
        column.validate()
    except pa.ArrowException as error:
        return [Unreadable(f"not readable: {_reason(error)}")] * len(column)
    if not _has_nanoseconds(column.type):
        try:
            # Damaged offsets would lead the conversion out of the memory of the column.
            column.validate(full=True)
            return column.to_pylist()
        except _NOT_READABLE:
            pass
    if pa.types.is_struct(column.type):
        return _struct_values(column)
    return [_checked_value(column.slice(row, 1)) for row in range(len(column))]


def _struct_values(column: Any) -> list[Any]:
    names = [column.type.field(number).name for number in range(column.type.num_fields)]
    # Unlike `field`, `flatten` respects the offset of a slice.
    columns = [column_values(child) for child in column.flatten()]
    if any(len(child) != len(column) for child in columns):
        return [Unreadable("not readable: its fields differ in length")] * len(column)
    present = column.is_valid().to_pylist()
    rows = zip(*columns, strict=True) if columns else iter([()] * len(column))
    return [
        dict(zip(names, row, strict=True)) if is_there else None
        for row, is_there in zip(rows, present, strict=True)
    ]


def _checked_value(one: pa.Array) -> Any:
    try:
        one.validate(full=True)
        return _value(one[0])
    except _NOT_READABLE as error:
        if isinstance(error, UnicodeDecodeError) or "Invalid UTF8" in str(error):
            return Unreadable("not UTF-8")
        return Unreadable(f"a value that cannot be read: {_reason(error)}")


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _value(scalar: Any) -> Any:
    if not scalar.is_valid:
        return None
    kind = scalar.type
    for is_kind, convert in _CONVERTERS:
        if is_kind(kind):
            return convert(scalar)
    return scalar.as_py()


def _moment(scalar: Any) -> Any:
    exact = _whole_microseconds(scalar)
    if exact is not None:
        try:
            return pa.scalar(exact, pa.timestamp("us", scalar.type.tz)).as_py()
        except (ValueError, OverflowError):
            pass
    text = str(np.datetime64(scalar.value, scalar.type.unit))
    return text if scalar.type.tz is None else f"{text}+00:00"


def _duration(scalar: Any) -> Any:
    exact = _whole_microseconds(scalar)
    try:
        return datetime.timedelta(microseconds=exact) if exact is not None else _text_of(scalar)
    except OverflowError:
        return _text_of(scalar)


def _text_of(scalar: Any) -> str:
    return str(np.timedelta64(scalar.value, scalar.type.unit))


def _time(scalar: Any) -> Any:
    exact = _whole_microseconds(scalar)
    if exact is None:
        return scalar.cast(pa.string()).as_py()
    return pa.scalar(exact, pa.time64("us")).as_py()


def _day(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except OverflowError:
        unit = "D" if pa.types.is_date32(scalar.type) else "ms"
        return str(np.datetime64(scalar.value, unit).astype("datetime64[D]"))


def _whole_microseconds(scalar: Any) -> int | None:
    """Count microseconds; nothing when there is a fraction of one."""
    unit = scalar.type.unit
    if unit != "ns":
        return scalar.value * {"s": 1_000_000, "ms": 1000, "us": 1}[unit]
    whole, fraction = divmod(scalar.value, 1000)
    return None if fraction else whole


def _list(scalar: Any) -> list[Any]:
    return [_value(item) for item in scalar.values]


def _map(scalar: Any) -> list[tuple[Any, Any]]:
    return [(_value(item[0]), _value(item[1])) for item in scalar.values]


_CONVERTERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (pa.types.is_timestamp, _moment),
    (pa.types.is_duration, _duration),
    (pa.types.is_time64, _time),
    (pa.types.is_date, _day),
    (pa.types.is_map, _map),
    (pa.types.is_struct, lambda scalar: {name: _value(scalar[name]) for name in scalar}),
    (pa.types.is_list, _list),
    (pa.types.is_large_list, _list),
    (pa.types.is_fixed_size_list, _list),
    (pa.types.is_dictionary, lambda scalar: _value(scalar.value)),
    (lambda kind: isinstance(kind, pa.BaseExtensionType), lambda scalar: _value(scalar.value)),
)


@functools.cache
def _has_nanoseconds(kind: pa.DataType) -> bool:
    """Return whether Python's own types may lose a part of the values, or pandas decides it."""
    if getattr(kind, "unit", None) == "ns":
        return True
    if pa.types.is_dictionary(kind):
        return _has_nanoseconds(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _has_nanoseconds(kind.storage_type)
    return any(_has_nanoseconds(kind.field(number).type) for number in range(kind.num_fields))
