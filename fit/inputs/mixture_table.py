"""A table of mixtures: which columns are domains, and what their numbers count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.columns import (
    DOMAIN_PREFIXES,
    Choice,
    Table,
    is_missing,
    is_numeric,
    keys_of,
    matching,
    numbers,
    result_of,
    role_of,
    roles_of,
    unfinished_rows,
)

_SUM_TOLERANCE = 0.02
_EXACT_SUM = 1e-3
"""Columns that no prefix marks count as shares only if they sum to 1 this closely."""
_LEAST_TOKENS = 1000.0

Unit = Literal["shares", "percent", "tokens"]


@dataclass(frozen=True, kw_only=True)
class Mixtures:
    """A table of mixtures, a row for each run."""

    domains: tuple[str, ...]
    tokens: Floats
    """(rows, domains) tokens, or shares where the table does not tell the tokens."""
    scale: Floats
    """(rows,) token budget of the run's scale; 1 where it is not known."""
    keys: dict[str, tuple[str, ...]]
    """Columns that name the rows."""
    unit: Unit
    """Of the domains' columns: `shares`, `percent` or `tokens`."""
    roles: dict[str, str] = field(default_factory=dict)
    """Column by role: tokens, parameters, seed, …"""
    ignored: dict[str, str] = field(default_factory=dict)
    """Why, by column."""
    seeds: tuple[int, ...] = ()
    parameters: Floats | None = None
    """(rows,)."""
    bad: dict[int, str] = field(default_factory=dict)
    """Rows that hold no mixture or no finished run, with the reason."""


def mixtures_of(
    table: Table, where: str, run_tokens: int | None = None, choice: Choice | None = None
) -> Mixtures:
    """Understand a table of mixtures.

    Domains are the columns that `choice` or a prefix (`w_`, `weight_`, `ratio_`, `proportion_`,
    `share_`, `tokens_`) marks; without either, every numeric column whose name has no other
    meaning, if they sum to 1 (or 100) in every row.

    Args:
        table: By column.
        where: For messages.
        run_tokens: Tokens of every run, where the table does not tell.
        choice: Which column is what.

    Raises:
        UserError: Which columns are domains cannot be told, or a row is no mixture.
    """
    columns, marked, ignored = _domain_columns(table, where, choice or Choice())
    domains = tuple(columns)
    values = np.column_stack([numbers(table[column]) for column in columns.values()])
    roles = roles_of(table, columns.values())
    bad = unfinished_rows(table, roles)
    values = _without_missing(values, domains, bad, table, columns, where)
    sizes = _sizes(table, roles, where, bad)
    if sizes is None and run_tokens is not None:
        sizes = np.full(len(values), float(run_tokens))
    unit, tokens, scale = _amounts(values, domains, sizes, bad, marked, where)
    if "scale" in roles:
        scale = numbers(table[roles["scale"]])
        if not (scale > 0).all():
            row = int(np.argmin(scale > 0))
            raise UserError(
                f"{where}: row {row + 1}: {roles['scale']} is {table[roles['scale']][row]!r}; give "
                "every run the tokens of its scale, such as 1B, or none the column"
            )
    seeds = numbers(table[roles["seed"]]) if "seed" in roles else None
    return Mixtures(
        domains=domains,
        tokens=tokens,
        scale=scale,
        keys=keys_of(table, choice or Choice()),
        unit=unit,
        roles={role: column for role, column in roles.items() if role != "setting"},
        ignored=ignored,
        seeds=() if seeds is None or np.isnan(seeds).any() else tuple(seeds.astype(int).tolist()),
        parameters=_parameters(table, roles, where),
        bad=bad,
    )


def _domain_columns(
    table: Table, where: str, choice: Choice
) -> tuple[dict[str, str], bool, dict[str, str]]:
    """Column by domain, whether names or options mark them, and why others are left aside."""
    if choice.domains:
        chosen = matching(choice.domains, table, "--domains")
        return _unprefixed(chosen), True, {}
    for prefix in DOMAIN_PREFIXES:
        marked = [
            c for c in table if c.lower().startswith(prefix) and role_of(c) is None and c != prefix
        ]
        if marked:
            named = {c[len(prefix) :]: c for c in marked if is_numeric(table[c])}
            return named, True, _aside(table, named.values())
    candidates = [
        column
        for column, cells in table.items()
        if role_of(column) is None and result_of(column) is None and is_numeric(cells)
    ]
    if not candidates:
        raise UserError(f"{where}: no column of shares among {list(table)}; {_WHICH_DOMAINS}")
    return {column: column for column in candidates}, False, _aside(table, candidates)


_WHICH_DOMAINS = (
    "name the columns of domains w_DOMAIN, or say which they are with --domains (patterns allowed)"
)


def _unprefixed(columns: Sequence[str]) -> dict[str, str]:
    for prefix in DOMAIN_PREFIXES:
        if all(column.lower().startswith(prefix) for column in columns):
            return {column[len(prefix) :]: column for column in columns}
    return {column: column for column in columns}


def _aside(table: Table, used: Iterable[str]) -> dict[str, str]:
    """Why each column without a part in the mixture is left aside."""
    used, reasons = set(used), {}
    for column, cells in table.items():
        role = role_of(column)
        if column in used or (role is not None and role != "setting"):
            continue
        if role == "setting":
            reasons[column] = "describes the run"
        elif result_of(column) is not None:
            reasons[column] = "a result"
        else:
            reasons[column] = "no share" if is_numeric(cells) else "no number"
    return reasons


def _without_missing(
    values: Floats,
    domains: tuple[str, ...],
    bad: dict[int, str],
    table: Table,
    columns: dict[str, str],
    where: str,
) -> Floats:
    """Shares with rows that hold text marked as bad; negative or empty shares are refused."""
    for i, k in np.argwhere(np.isnan(values)):
        cell = table[columns[domains[k]]][i]
        if is_missing(cell):
            raise UserError(f"{where}: row {i + 1}: a share is missing or negative")
        bad.setdefault(int(i), f"{columns[domains[k]]} is {cell!r}")
    if (values < 0).any():
        row = int(np.argwhere(values < 0)[0, 0])
        raise UserError(f"{where}: row {row + 1}: a share is missing or negative")
    filled = values.copy()
    filled[list(bad)] = np.nan_to_num(filled[list(bad)], nan=0.0)
    return filled


def _amounts(
    values: Floats,
    domains: tuple[str, ...],
    sizes: Floats | None,
    bad: dict[int, str],
    marked: bool,
    where: str,
) -> tuple[Unit, Floats, Floats]:
    """Unit of the columns, (rows, domains) tokens or shares, and (rows,) scale."""
    sums = values.sum(1)
    good = np.array([i not in bad for i in range(len(values))])
    if not good.any():
        raise UserError(f"{where}: no row holds a mixture")
    if marked and (sums[good] >= _LEAST_TOKENS).all():
        return "tokens", values, sums
    percent = bool((np.abs(sums[good] - 100) <= 100 * _SUM_TOLERANCE).all())
    whole = 100.0 if percent else 1.0
    wrong = good & (np.abs(sums - whole) > whole * (_SUM_TOLERANCE if marked else _EXACT_SUM))
    if wrong.any():
        row = int(np.argmax(wrong))
        text = f"{where}: row {row + 1}: shares of {list(domains)} sum to {sums[row]:.6g}"
        if marked:
            raise UserError(f"{text}, expected 1 (or tokens, at least a thousand to a run)")
        raise UserError(f"{text}, not to 1, so some of these are no domains; {_WHICH_DOMAINS}")
    scale = np.ones(len(values)) if sizes is None else sizes
    total = np.where(sums > 0, sums, 1.0)[:, None]
    return "percent" if percent else "shares", values / total * scale[:, None], scale


def _sizes(table: Table, roles: dict[str, str], where: str, bad: dict[int, str]) -> Floats | None:
    if "tokens" not in roles:
        return None
    sizes = numbers(table[roles["tokens"]])
    for i in np.flatnonzero(~(sizes > 1)):
        cell = table[roles["tokens"]][i]
        if int(i) not in bad:
            raise UserError(
                f"{where}: row {i + 1}: {roles['tokens']} is {cell!r}; every run needs its number "
                "of tokens"
            )
    return np.nan_to_num(sizes, nan=1.0)


def _parameters(table: Table, roles: dict[str, str], where: str) -> Floats | None:
    if "parameters" not in roles:
        return None
    sizes = numbers(table[roles["parameters"]])
    if not (sizes > 0).all():
        row = int(np.argmin(sizes > 0))
        cell = table[roles["parameters"]][row]
        raise UserError(
            f"{where}: row {row + 1}: {roles['parameters']} is {cell!r}; every run needs the "
            "number of its model's parameters, such as 70M, or none has the column"
        )
    return sizes
