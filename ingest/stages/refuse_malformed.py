"""`--strict`: input with records that cannot be read is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.ingest.stages.read import ReadTask
from mixscale.ingest.stages.unit_places import UnitPlaces
from mixscale.ingest.unit_rows import MALFORMED, read_rows

_MAX_LISTED = 10


def refuse_malformed(tasks: Sequence[ReadTask], places: UnitPlaces) -> None:
    """Stop at malformed records.

    Args:
        tasks: All bundles.
        places: Where their rows come from.

    Raises:
        UserError: There are some; the message names the first ones.
    """
    found: list[str] = []
    count = first = 0
    for task in tasks:
        rows = read_rows(task.rows_path)
        malformed = np.flatnonzero(rows.column("status").to_numpy() == MALFORMED)
        count += len(malformed)
        some = malformed[: max(0, _MAX_LISTED - len(found))]
        files, numbers = places.find(some + first)
        for row, file, number in zip(
            some.tolist(), files.to_pylist(), numbers.tolist(), strict=True
        ):
            found.append(f"{file}:{number}: {rows.column('detail')[row].as_py()}")
        first += rows.num_rows
    if count:
        listed = "\n  ".join(found)
        more = f"\n  and {count - len(found)} more" if count > len(found) else ""
        raise UserError(
            f"{count} records cannot be read:\n  {listed}{more}\n"
            "fix them, or build without --strict: they are then left out and listed"
        )
