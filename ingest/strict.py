"""Refuses input with records that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.errors import UserError
from ingest.unit import STATUS, ReadTask, read_rows

_SHOWN = 10
_MALFORMED = STATUS.index("malformed")


def refuse_faults(tasks: Sequence[ReadTask]) -> None:
    """Stop at malformed records.

    Raises:
        UserError: There are some; the message names the first ones.
    """
    places: list[str] = []
    count = 0
    next_row: dict[str, int] = {}
    for task in tasks:
        rows = read_rows(task.rows_path)
        first = next_row.get(task.unit.file.address, 1)
        next_row[task.unit.file.address] = first + rows.num_rows
        faults = np.flatnonzero(rows.column("status").to_numpy() == _MALFORMED)
        count += len(faults)
        for row in faults[: max(0, _SHOWN - len(places))].tolist():
            detail = rows.column("detail")[row].as_py()
            places.append(f"{task.unit.file.name}:{first + row}: {detail}")
    if count:
        shown = "\n  ".join(places)
        more = f"\n  and {count - len(places)} more" if count > len(places) else ""
        raise UserError(
            f"{count} records cannot be read:\n  {shown}{more}\n"
            "mend them, or build without --strict: they are then left out and listed"
        )
