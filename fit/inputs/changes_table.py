"""Tables of runs that change one domain of a base run, told by its name and a factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.cells import is_missing, numbers
from mixscale.fit.inputs.columns import Table
from mixscale.fit.inputs.runs import BASE

_NONE = ("none", "base", "all", "-")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The runs of such a table."""

    domains: tuple[str, ...]
    amounts: Floats
    """(rows, domains) tokens as parts of the base run's, which has equally many of each domain."""
    changed: tuple[str, ...]
    """By row; `BASE` for the base run."""


def changes_columns(table: Table, where: str) -> Changes | None:
    """Read the columns `domain` (none for a base run) and `factor`; None where there are none.

    `factor` is the domain's tokens as a multiple of the base run's.

    Raises:
        UserError: There is no base run, or a factor is not above 0.
    """
    named = {column.strip().lower(): column for column in table}
    if not {"domain", "factor"} <= set(named):
        return None
    names = [
        BASE if is_missing(cell) or str(cell).strip().lower() in _NONE else str(cell).strip()
        for cell in table[named["domain"]]
    ]
    factors = numbers(table[named["factor"]])
    domains = tuple(dict.fromkeys(name for name in names if name != BASE))
    if BASE not in names or len(domains) < 2:
        raise UserError(
            f"{where}: columns domain and factor describe changes of one domain around a base run, "
            f"whose domain is none and whose factor is 1; found "
            f"{'no base run' if len(domains) > 1 else f'changes of {list(domains)} alone'}"
        )
    amounts = np.full((len(names), len(domains)), 1 / len(domains))
    for row, name in enumerate(names):
        if name == BASE:
            continue
        if not factors[row] > 0:
            raise UserError(
                f"{where}: row {row + 1}: {named['factor']} is {table[named['factor']][row]!r}; it "
                "is the domain's tokens as a multiple of the base run's, above 0"
            )
        amounts[row, domains.index(name)] *= factors[row]
    return Changes(domains=domains, amounts=amounts, changed=tuple(names))
