"""DuckDB column types, made from the pydantic models that describe JSON files."""

from __future__ import annotations

import types
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mixscale.shards.sql.quoting import identifier

JSON = "JSON"
_SCALARS = {bool: "BOOLEAN", float: "DOUBLE", str: "VARCHAR", Any: JSON}


def column_types(model: type[BaseModel], fields: Collection[str] | None = None) -> dict[str, str]:
    """Give the DuckDB type of each field of a model, as `read_json(columns = …)` takes them.

    Args:
        model: The schema of a JSON object.
        fields: The fields wanted, in this order; all when absent.

    Raises:
        KeyError: The model has no such field.
        TypeError: A field's type has no counterpart; see `duckdb_type`.
    """
    listed = model.model_fields
    return {
        name: duckdb_type(listed[name].annotation, listed[name].metadata)
        for name in (listed if fields is None else fields)
    }


def struct_type(model: type[BaseModel], fields: Collection[str] | None = None) -> str:
    """Write the STRUCT that holds a model, or some of its fields."""
    columns = column_types(model, fields).items()
    return f"STRUCT({', '.join(f'{identifier(name)} {kind}' for name, kind in columns)})"


def duckdb_type(annotation: Any, metadata: Iterable[object] = ()) -> str:
    """Give the DuckDB type that holds the JSON of a Python type.

    Every type is nullable in DuckDB. Integers that cannot be negative are UBIGINT, others BIGINT;
    models are STRUCT, mappings MAP, tuples and lists LIST. What differs from value to value (`Any`,
    a mapping to it, a union of unlike types) stays JSON.

    Args:
        annotation: The type of a field.
        metadata: Its constraints, such as `annotated_types.Ge`.

    Raises:
        TypeError: The type is none of these.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        return _plain_type(annotation, metadata)
    if origin is Annotated:
        return duckdb_type(arguments[0], [*_constraints(arguments[1:]), *metadata])
    if origin is Literal:
        return _common(type(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return _common((member for member in arguments if member is not type(None)), metadata)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, value = map(duckdb_type, arguments)
        return JSON if value == JSON else f"MAP({key}, {value})"
    if origin in (tuple, list):
        return f"{_common(member for member in arguments if member is not ...)}[]"
    raise TypeError(f"{annotation}: no DuckDB type is known for it")


def _plain_type(annotation: Any, metadata: Iterable[object]) -> str:
    if annotation is int:
        return "UBIGINT" if _is_not_negative(metadata) else "BIGINT"
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return struct_type(annotation)
    raise TypeError(f"{annotation}: no DuckDB type is known for it")


def _common(members: Iterable[Any], metadata: Iterable[object] = ()) -> str:
    """Give the type that all members have, or JSON where they differ."""
    constraints = list(metadata)
    kinds = {duckdb_type(member, constraints) for member in members}
    return kinds.pop() if len(kinds) == 1 else JSON


def _constraints(metadata: Iterable[object]) -> Iterable[object]:
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def _is_not_negative(metadata: Iterable[object]) -> bool:
    bounds = (getattr(item, name, None) for item in metadata for name in ("ge", "gt"))
    return any(bound is not None and bound >= 0 for bound in bounds)
