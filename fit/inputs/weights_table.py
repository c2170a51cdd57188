"""A table with the weight of each validation domain."""

from __future__ import annotations

from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.fit.inputs.cells import is_numeric, numbers
from mixscale.fit.inputs.table_files import read_table

_NAMES = ("weight", "weights", "share", "proportion", "w")


def read_weights(path: Path) -> dict[str, float]:
    """Read weights by validation domain: a column of names, one of numbers.

    Raises:
        UserError: There are not two such columns, a weight is missing or negative, or a name stands
            twice.
    """
    table = read_table(path)
    values = [column for column in table if column.strip().lower() in _NAMES]
    names = [column for column, cells in table.items() if not is_numeric(cells)]
    if len(values) != 1 or len(names) != 1:
        raise UserError(
            f"{path}: weights need a column of validation domains and a column `weight`; the "
            f"columns are {list(table)}"
        )
    weights: dict[str, float] = {}
    cells = table[values[0]]
    for row, (name, weight) in enumerate(zip(table[names[0]], numbers(cells), strict=True)):
        if not weight >= 0:
            raise UserError(f"{path}: row {row + 1}: {values[0]} is {cells[row]!r}, no weight")
        if str(name) in weights:
            raise UserError(f"{path}: row {row + 1}: {name} stands twice")
        weights[str(name)] = float(weight)
    return weights
