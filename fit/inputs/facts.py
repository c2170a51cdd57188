"""What a table says of its runs beside mixtures and results: tokens, unique tokens, model size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.cells import counts, is_missing, numbers, sizes
from mixscale.fit.inputs.columns import (
    POOL,
    UNIQUE_PREFIXES,
    Choice,
    Table,
    columns_by_role,
    matching,
    role_of,
    without_multiple,
)
from mixscale.fit.inputs.points import PLENTY

_SAME = 0.05
"""Counts that differ by less are the same one, rounded as labels are: 160M and 162322944."""
_LEAST = 1000.0
_WANTED = {
    "tokens": "the number of its tokens",
    "parameters": "the number of its model's parameters",
    "non_embedding": "the number of its model's parameters without embeddings",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of some rows; each (rows,), None where a table does not say."""

    tokens: Floats | None = None
    parameters: Floats | None = None
    """Of the model, as the table counts them."""
    non_embedding: Floats | None = None
    """Of those, without embeddings."""
    steps: Floats | None = None
    """nan where the cell holds no number."""
    scale: Floats | None = None
    """Token budget of the scale."""
    seeds: Floats | None = None
    pool: Floats | None = None
    """Unique tokens of all domains together."""
    unique: Mapping[str, Floats] = field(default_factory=dict)
    """Unique tokens by domain."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The column that each was read from."""
    bad: Mapping[int, str] = field(default_factory=dict)
    """Rows whose step is none, with the reason."""

    def at(self, rows: Sequence[int] | np.ndarray) -> Facts:
        """Those of some rows."""
        taken = {
            name: None if (values := getattr(self, name)) is None else values[rows]
            for name in _ARRAYS
        }
        unique = {domain: values[rows] for domain, values in self.unique.items()}
        return replace(self, unique=unique, bad={}, **taken)

    @property
    def size(self) -> Floats | None:
        """(rows,) parameters that laws see: without embeddings where that is known."""
        return self.parameters if self.non_embedding is None else self.non_embedding

    def unique_tokens(self, domains: Sequence[str]) -> Floats | None:
        """(rows, domains); None where nothing is known of any."""
        if self.pool is not None and len(domains) == 1 and not self.unique:
            return self.pool[:, None]
        if not self.unique:
            return None
        rows = len(next(iter(self.unique.values())))
        unique = [self.unique.get(d, np.full(rows, PLENTY)) for d in domains]
        # A domain with nothing to offer takes part in no run, and nothing can be divided by it.
        return np.maximum(np.column_stack(unique), 1.0)


_ARRAYS = [f.name for f in fields(Facts) if f.name not in ("unique", "columns", "bad")]


def facts_of(
    table: Table,
    where: str,
    choice: Choice,
    domains: Sequence[str],
    used: Collection[str] = (),
    bad: Collection[int] = (),
) -> Facts:
    """Read what a table says of its runs.

    Args:
        table: By column.
        where: For messages.
        choice: Which column is what.
        domains: Of the mixtures.
        used: Columns of the mixtures.
        bad: Rows that take no part, so that they need not be right.

    Raises:
        UserError: A run lacks what others have, a count cannot be one, or two columns disagree.
    """
    by_role = columns_by_role(table, used)
    if choice.size is not None and set(matching((choice.size,), table, "--size")):
        by_role["parameters"] = matching((choice.size,), table, "--size")
    named = {role: columns[0] for role, columns in by_role.items() if role not in _NO_FACTS}
    read: dict[str, Any] = {}
    readers: dict[str, Callable[[Sequence[Any]], Floats]] = {
        "tokens": counts, "parameters": sizes, "non_embedding": sizes, POOL: counts,
    }  # fmt: skip
    for role, reader in readers.items():
        if role in by_role:
            values, named[role] = _agreed(table, by_role[role], reader, role, where, bad)
            read[role] = values
    if "step" in by_role:
        read["steps"] = counts(table[named["step"]])
    if "seed" in by_role:
        seeds = numbers(table[named["seed"]])
        read["seeds"] = None if np.isnan(seeds).any() else seeds
    if "scale" in by_role:
        read["scale"] = _scale(table, named["scale"], where)
    if "tokens" not in read and choice.tokens_per_step and "steps" in read:
        read["tokens"] = read["steps"] * choice.tokens_per_step
        column = named["tokens"] = named.pop("step")
        without = np.flatnonzero(~(read["steps"] > 0))
        read["bad"] = {int(row): f"{column} is {table[column][row]!r}" for row in without}
    elif choice.tokens_per_step and "tokens" in read and "steps" in read:
        _check_steps(read["tokens"], read["steps"] * choice.tokens_per_step, where, bad)
    unique = _unique(table, domains, where, bad)
    return Facts(unique=unique, columns=named, **read)


_NO_FACTS = ("setting", "validation")


def _agreed(
    table: Table,
    columns: Sequence[str],
    reader: Callable[[Sequence[Any]], Floats],
    role: str,
    where: str,
    bad: Collection[int],
) -> tuple[Floats, str]:
    """The values of a role and the column they are from; several columns must agree."""
    read = {c: reader(table[c]) * without_multiple(c)[1] for c in columns}
    first = columns[0]
    values = read[first]
    for column, others in read.items():
        apart = np.abs(others - values) > _SAME * np.maximum(others, values)
        apart[list(bad)] = False
        if apart.any():
            row = int(np.argmax(apart))
            out = "; say with --size which one counts" if role == "parameters" else ""
            raise UserError(
                f"{where}: row {row + 1}: columns {first} and {column} contradict each other "
                f"({table[first][row]} and {table[column][row]}){out or '; leave one out'}"
            )
    if role in _WANTED or role == POOL:
        _check_counts(table, first, values, role, where, bad)
    return np.where(np.isnan(values), 1.0, values), first


def _check_steps(tokens: Floats, by_step: Floats, where: str, bad: Collection[int]) -> None:
    apart = np.abs(tokens - by_step) > _SAME * tokens
    apart[list(bad)] = False
    if apart.any():
        row = int(np.argmax(apart))
        raise UserError(
            f"{where}: row {row + 1}: its {format_tokens(float(tokens[row]))} tokens and "
            f"--tokens-per-step times its step, {format_tokens(float(by_step[row]))}, contradict "
            "each other; leave --tokens-per-step out"
        )


def _check_counts(
    table: Table, column: str, values: Floats, role: str, where: str, bad: Collection[int]
) -> None:
    for row in np.flatnonzero(~(values >= _LEAST)):
        if int(row) in bad:
            continue
        cell = table[column][row]
        at = f"{where}: row {row + 1}: {column} is {cell!r}"
        if role == POOL:
            raise UserError(f"{at}; unique tokens must be a thousand or more")
        if not values[row] > 0:
            raise UserError(
                f"{at}; every run needs {_WANTED[role]}, such as 70M, or none has the column"
            )
        raise UserError(
            f"{at}, too few for {_WANTED[role]}; write for example 1.2B, or name the column "
            f"{column}_billion where it counts billions"
        )


def _scale(table: Table, column: str, where: str) -> Floats:
    scale = counts(table[column])
    if not (scale > 0).all():
        row = int(np.argmin(scale > 0))
        raise UserError(
            f"{where}: row {row + 1}: {column} is {table[column][row]!r}; give every run the "
            "tokens of its scale, such as 1B, or none the column"
        )
    return scale


def unique_columns(table: Table, domains: Sequence[str]) -> dict[str, str]:
    """The column with each domain's unique tokens, where there is one."""
    found: dict[str, str] = {}
    plain = {domain.lower(): domain for domain in domains}
    for column in table:
        if role_of(column) != "unique":
            continue
        name = column.strip().lower()
        for prefix in UNIQUE_PREFIXES:
            domain = plain.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
            if domain is not None:
                found.setdefault(domain, column)
                break
    return found


def _unique(
    table: Table, domains: Sequence[str], where: str, bad: Collection[int]
) -> dict[str, Floats]:
    unique = {}
    for domain, column in unique_columns(table, domains).items():
        values = counts(table[column])
        for row in np.flatnonzero(~(values >= 0)):
            cell = table[column][row]
            if is_missing(cell):
                values[row] = PLENTY
            elif int(row) not in bad:
                raise UserError(
                    f"{where}: row {row + 1}: {column} is {cell!r}; the unique tokens of a domain "
                    "are a number of tokens, 0 or more; leave the cell empty if they are not known"
                )
        unique[domain] = np.nan_to_num(values, nan=PLENTY)
    return unique


def check_supply(facts: Facts, amounts: Floats, domains: Sequence[str], where: str) -> None:
    """Refuse runs that train on a domain which has nothing to offer."""
    for domain, unique in facts.unique.items():
        wrong = (unique == 0) & (amounts[:, domains.index(domain)] > 0)
        if wrong.any():
            raise UserError(
                f"{where}: row {int(np.argmax(wrong)) + 1}: the run trains on {domain}, of which "
                "there are 0 unique tokens; leave the cell empty if their number is not known"
            )


def merged(ours: Facts, theirs: Facts, names: Sequence[str], where: str) -> Facts:
    """What two tables say of the same rows.

    Raises:
        UserError: They contradict each other.
    """
    taken = {}
    for name in _ARRAYS:
        own, other = getattr(ours, name), getattr(theirs, name)
        taken[name] = other if own is None else own
        if own is None or other is None or name == "steps":
            continue
        apart = np.abs(own - other) > _SAME * np.maximum(own, other)
        if apart.any():
            row = int(np.argmax(apart))
            column = ours.columns.get(_ROLE.get(name, name), name)
            raise UserError(
                f"{where}: {names[row]}: the tables contradict each other: {column} is "
                f"{format_tokens(float(own[row]))} in one and {format_tokens(float(other[row]))} "
                "in the other"
            )
    return replace(
        ours,
        unique={**theirs.unique, **ours.unique},
        columns={**theirs.columns, **ours.columns},
        **taken,
    )


_ROLE = {"steps": "step", "seeds": "seed"}
