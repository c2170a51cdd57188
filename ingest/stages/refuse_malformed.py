"""`--strict`: input with records that cannot be read is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.ingest.stages.read import ReadTask
from mixscale.ingest.unit_rows import MALFORMED, read_rows

_MAX_LISTED = 10


def refuse_malformed(tasks: Sequence[ReadTask], first_rows: Sequence[int]) -> None:
    """Stop at malformed records.

    Args:
        tasks: All units.
        first_rows: The number, in its file, of the first row of each.

    Raises:
        UserError: There are some; the message names the first ones.
    """
    places: list[str] = []
    count = 0
    for task, first in zip(tasks, first_rows, strict=True):
        rows = read_rows(task.rows_path)
        malformed = np.flatnonzero(rows.column("status").to_numpy() == MALFORMED)
        count += len(malformed)
        for row in malformed[: max(0, _MAX_LISTED - len(places))].tolist():
            detail = rows.column("detail")[row].as_py()
            places.append(f"{task.unit.file.name}:{first + row}: {detail}")
    if count:
        listed = "\n  ".join(places)
        more = f"\n  and {count - len(places)} more" if count > len(places) else ""
        raise UserError(
            f"{count} records cannot be read:\n  {listed}{more}\n"
            "fix them, or build without --strict: they are then left out and listed"
        )
