"""Long tables, with a row for each run, checkpoint and validation domain, made wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.fit.inputs.cells import is_missing, is_numeric
from mixscale.fit.inputs.columns import Result, Table, bare_result_of, role_of

_PLAIN_NAMES = ("domain", "dataset", "metric")
"""Names of the column that says what a result is of, where a column of plain results is there and
no other says it."""


def widened(table: Table, where: str) -> Table:
    """Give every validation domain a column of its own, with a row for each run and checkpoint.

    A table is long if one column says what a row's result is of (`valid_domain`, `task`, …) and
    others hold the results (`loss`, `ppl`, …); every other column describes the run. Any other
    table comes back as it is.

    Raises:
        UserError: A run has two results of one domain that differ.
    """
    results = [found for column in table if (found := bare_result_of(column)) is not None]
    results = [result for result in results if is_numeric(table[result.column])]
    of = _naming_column(table)
    if of is None or not results:
        return table
    measured = [result.column for result in results]
    described = [
        column for column in table if column not in (of, *measured) and role_of(column) != "setting"
    ]
    rows = _rows(table, described)
    places = {row: i for i, row in enumerate(dict.fromkeys(rows))}
    wide: dict[str, list[Any]] = {column: [None] * len(places) for column in described}
    for row, place in places.items():
        for column, cell in zip(described, row, strict=True):
            wide[column][place] = cell
    for result in results:
        wide |= _spread(table, result, of, [places[row] for row in rows], len(places), where)
    return wide


def _naming_column(table: Table) -> str | None:
    found = [column for column in table if role_of(column) == "validation"]
    found += [column for column in table if column.strip().lower() in _PLAIN_NAMES]
    return next((column for column in found if not is_numeric(table[column])), None)


def _rows(table: Table, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    count = len(next(iter(table.values())))
    if not columns:
        return [()] * count
    cells = [[None if is_missing(cell) else cell for cell in table[column]] for column in columns]
    return list(zip(*cells, strict=True))


def _spread(
    table: Table, result: Result, of: str, places: Sequence[int], count: int, where: str
) -> Mapping[str, list[Any]]:
    """The column of each validation domain."""
    spread: dict[str, list[Any]] = {}
    names, values = table[of], table[result.column]
    for line, (name, value, place) in enumerate(zip(names, values, places, strict=True)):
        if is_missing(name):
            raise UserError(f"{where}: row {line + 1}: {of} is empty")
        own = str(name).strip()
        label = f"{result.metric}_{own}" if result.metric else own
        column = spread.setdefault(label, [None] * count)
        if column[place] is not None and not is_missing(value) and column[place] != value:
            raise UserError(
                f"{where}: row {line + 1}: another {result.column} of {own} than before for the "
                f"same run and step ({value} and {column[place]}); give the runs different names"
            )
        column[place] = column[place] if is_missing(value) else value
    return spread
