"""Two tables, mixtures with losses, read as runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs

KEYS = ("run_id", "run", "run_index", "index", "id", "name")
"""Columns that name a run, the first found first; the tables are joined on one they share."""
SIZES = ("token_budget", "tokens")
"""Columns with a run's tokens."""
_ASIDE = (*KEYS, *SIZES, "scale", "seed")
_SUM_TOLERANCE = 0.02
_SAME_TOKENS = 0.02
_LEAST_TOKENS = 1000.0

Table = Mapping[str, Sequence[Any]]


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


def read_table(path: str | Path) -> dict[str, list[Any]]:
    """Read a CSV or Parquet file by column.

    Raises:
        UserError: It cannot be read or is empty.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    source = Path(path)
    try:
        if source.suffix.lower() in (".parquet", ".pq"):
            table = pyarrow.parquet.read_table(source)
        else:
            table = pyarrow.csv.read_csv(source)
    except OSError as error:
        raise UserError(f"{source}: cannot read: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise UserError(f"{source}: not a table: {str(error).splitlines()[0]}") from error
    if not table.num_rows:
        raise UserError(f"{source}: the table has no rows")
    return {name: table.column(name).to_pylist() for name in table.column_names}


def read_mixtures(path: str | Path, run_tokens: int | None = None) -> Mixtures:
    """Read a table of mixtures; see `mixtures_of`."""
    return mixtures_of(read_table(path), str(path), run_tokens)


def mixtures_of(table: Table, where: str, run_tokens: int | None = None) -> Mixtures:
    """Understand a table of mixtures.

    Args:
        table: By column.
        where: For messages.
        run_tokens: Tokens of every run, where the table does not tell.

    Raises:
        UserError: A row is no mixture; the message names it.
    """
    columns = _values(table, where, ("w_", "ratio_"))
    domains, values = tuple(columns), np.column_stack(list(columns.values()))
    if np.isnan(values).any() or (values < 0).any():
        row = int(np.argwhere(np.isnan(values) | (values < 0))[0, 0])
        raise UserError(f"{where}: row {row + 1}: a share is missing or negative")
    sums = values.sum(1)
    sizes = _sizes(table, where)
    if sizes is None and run_tokens is not None:
        sizes = np.full(len(values), float(run_tokens))
    if (sums >= _LEAST_TOKENS).all():
        tokens, scale = values, sums
    else:
        wrong = np.abs(sums - 1) > _SUM_TOLERANCE
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(
                f"{where}: row {row + 1}: shares of {list(domains)} sum to {sums[row]:.6g}, "
                "expected 1 (or tokens, at least a thousand to a run)"
            )
        scale = np.ones(len(values)) if sizes is None else sizes
        tokens = values / sums[:, None] * scale[:, None]
    if "scale" in table:
        scale = np.array(table["scale"], dtype=np.float64)
    keys = {key: tuple(str(item) for item in table[key]) for key in KEYS if key in table}
    return Mixtures(domains=domains, tokens=tokens, scale=scale, keys=keys)


def join(mixtures: Mixtures, losses: Table, where: str) -> tuple[Runs, list[str]]:
    """Put mixtures and losses together, by the first naming column they share, else by row.

    Returns:
        The runs, with sentences about rows that were left out.

    Raises:
        UserError: The tables do not match.
    """
    columns = _values(losses, where, ("loss_", "ppl_"))
    perplexity = any(name.startswith("ppl_") for name in losses)
    values = np.column_stack(list(columns.values()))
    values = np.log(values) if perplexity else values
    left, right, names = _pairs(mixtures, losses, len(values), where)
    whole = np.isfinite(values[right]).all(1)
    warnings = []
    unmatched = len(mixtures.tokens) + len(values) - 2 * len(left)
    if unmatched:
        warnings.append(f"{unmatched} rows of the tables have no partner and are left out.")
    if not whole.all():
        lost = [name for name, ok in zip(names, whole, strict=True) if not ok]
        warnings.append(f"{len(lost)} runs lack a loss and are left out: {', '.join(lost[:8])}.")
    left, right = left[whole], right[whole]
    if len(left) < 3:
        raise UserError(f"{where}: {len(left)} runs have a mixture with losses; 3 are the least")
    tokens, scale = mixtures.tokens[left], mixtures.scale[left]
    changed, scale = _changes(tokens, scale, mixtures.domains)
    runs = Runs(
        domains=mixtures.domains,
        validation=tuple(columns),
        tokens=tokens,
        losses=values[right],
        errors=None,
        scale=scale,
        changed=changed,
        labels=_labels(tokens),
    )
    return runs, warnings


def _values(table: Table, where: str, prefixes: tuple[str, ...]) -> dict[str, Floats]:
    """The numeric columns that hold the data, without their prefix."""
    numeric = {
        name: np.array([np.nan if item is None else item for item in column], dtype=np.float64)
        for name, column in table.items()
        if name not in _ASIDE and all(isinstance(item, int | float | None) for item in column)
    }
    for prefix in prefixes:
        marked = {n.removeprefix(prefix): c for n, c in numeric.items() if n.startswith(prefix)}
        if marked:
            return marked
    if not numeric:
        raise UserError(f"{where}: no numeric column but {sorted(table)}")
    return numeric


def _sizes(table: Table, where: str) -> Floats | None:
    for name in SIZES:
        if name in table:
            sizes = np.array(table[name], dtype=np.float64)
            if not (sizes > 1).all():
                raise UserError(f"{where}: {name}: every run needs its number of tokens")
            return sizes
    return None


def _pairs(
    mixtures: Mixtures, losses: Table, rows: int, where: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Row numbers in both tables that belong together, with the runs' names."""
    for key, names in mixtures.keys.items():
        if key in losses:
            place = {str(item): i for i, item in enumerate(losses[key])}
            if len(place) < rows or len(set(names)) < len(names):
                raise UserError(f"{where}: column {key} names a run twice")
            left = [i for i, name in enumerate(names) if name in place]
            if not left:
                raise UserError(f"{where}: no value of column {key} is in both tables")
            right = [place[names[i]] for i in left]
            return np.array(left), np.array(right), [names[i] for i in left]
    if rows != len(mixtures.tokens):
        raise UserError(
            f"{where}: {rows} rows, but {len(mixtures.tokens)} mixtures; give both tables a column "
            f"that names the run ({', '.join(KEYS)})"
        )
    order = np.arange(rows)
    return order, order, [f"row {i + 1}" for i in order]


def _changes(
    tokens: Floats, scale: Floats, domains: Sequence[str]
) -> tuple[tuple[str, ...], Floats]:
    """See whether the runs are changes of one domain around a base; name what each changed.

    Only tables of tokens can tell: shares of such runs differ in every domain.
    """
    names = [MIXTURE] * len(tokens)
    scale = scale.copy()
    if scale.max() <= 1:
        return tuple(names), scale
    differs = np.abs(tokens[:, None] - tokens[None]) > _SAME_TOKENS * tokens[None]
    single = differs.sum(-1) <= 1
    left = np.ones(len(tokens), dtype=bool)
    while left.any():
        around = (single & left[:, None] & left[None]).sum(0)
        base = int(around.argmax())
        if around[base] <= len(domains):
            break
        members: Bools = single[:, base] & left
        for row in np.flatnonzero(members):
            changed = np.flatnonzero(differs[row, base])
            names[row] = domains[changed[0]] if len(changed) else BASE
            scale[row] = tokens[base].sum()
        left &= ~members
    return tuple(names), scale


def _labels(tokens: Floats) -> tuple[str, ...]:
    """Equal for equal mixtures of equal size."""
    return tuple("/".join(f"{value:.6g}" for value in row) for row in tokens)
