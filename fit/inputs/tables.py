"""Two tables, or one with both: mixtures with results, read as runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import ReadResult, TableReading
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.columns import Choice, Result, Table, keys_of, roles_of, unfinished_rows
from mixscale.fit.inputs.mixture_table import Mixtures
from mixscale.fit.inputs.result_table import in_nats, results_of
from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs

_SAME_TOKENS = 0.02


def read_table(path: str | Path) -> dict[str, list[Any]]:
    """Read a CSV, TSV or Parquet file by column.

    Columns may be separated by commas, semicolons or tabs; with semicolons a comma may be the
    decimal point.

    Raises:
        UserError: It cannot be read, is empty, or names a column twice.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    source = Path(path)
    try:
        if source.suffix.lower() in (".parquet", ".pq"):
            table = pyarrow.parquet.read_table(source)
        else:
            delimiter, decimal = _dialect(source)
            table = pyarrow.csv.read_csv(
                source,
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
                convert_options=pyarrow.csv.ConvertOptions(decimal_point=decimal),
            )
    except OSError as error:
        raise UserError(f"{source}: cannot read: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise UserError(f"{source}: not a table: {str(error).splitlines()[0]}") from error
    if not table.num_rows:
        raise UserError(f"{source}: the table has no rows")
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise UserError(f"{source}: columns share a name: {', '.join(twice)}")
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _dialect(source: Path) -> tuple[str, str]:
    """Separator and decimal point of a CSV file, from its first lines."""
    with source.open(encoding="utf-8-sig", errors="replace") as stream:
        head, first = stream.readline(), stream.readline()
    delimiter = max(",;\t", key=head.count)
    comma = delimiter != "," and re.search(r"\d,\d", first) and not re.search(r"\d\.\d", first)
    return delimiter, "," if comma else "."


def join(
    mixtures: Mixtures, losses: Table, where: str, choice: Choice | None = None
) -> tuple[Runs, TableReading]:
    """Put mixtures and results together, by a column that names the run in both, else by row.

    Results are the columns that `choice` or their names mark (`loss_web`, `web_ppl`, `bpb_web`,
    `eval/web/LanguageCrossEntropy`); without either, every numeric column whose name has no other
    meaning. Perplexities are read as their logarithm.

    Returns:
        The runs, with what was read and what was left out.

    Raises:
        UserError: The tables do not match, or what a column holds cannot be told.
    """
    choice = choice or Choice()
    results, ignored = results_of(losses, where, choice)
    values = np.column_stack([in_nats(losses, result, where) for result in results])
    key, left, right, names = _pairs(mixtures, losses, len(values), where, choice)
    bad = unfinished_rows(losses, roles_of(losses))
    reasons = {}
    for name, i, k in zip(names, left, right, strict=True):
        reason = mixtures.bad.get(int(i)) or bad.get(int(k))
        if reason is None and not np.isfinite(values[k]).all():
            lost = results[int(np.argmin(np.isfinite(values[k])))]
            reason = f"no {lost.column}" if lost.column in losses else "a result is missing"
        if reason is not None:
            reasons[name] = reason
    kept = np.array([name not in reasons for name in names], dtype=bool)
    unmatched = len(mixtures.tokens) + len(values) - 2 * len(left)
    left, right = left[kept], right[kept]
    if len(left) < 3:
        left_out = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:4])
        raise UserError(
            f"{where}: {len(left)} runs have a mixture with losses; 3 are the least"
            + (f" (left out: {left_out})" if left_out else "")
        )
    tokens, scale = mixtures.tokens[left], mixtures.scale[left]
    changed, scale = _changes(tokens, scale, mixtures.domains)
    runs = Runs(
        domains=mixtures.domains,
        validation=tuple(result.name for result in results),
        tokens=tokens,
        losses=values[right],
        errors=None,
        scale=scale,
        changed=changed,
        labels=_labels(tokens),
        seeds=tuple(mixtures.seeds[i] for i in left) if mixtures.seeds else (),
        parameters=None if mixtures.parameters is None else mixtures.parameters[left],
    )
    _check_one_size(runs, mixtures, where)
    reading = TableReading(
        domains=mixtures.domains,
        unit=mixtures.unit,
        results={
            result.name: ReadResult(column=result.column, metric=result.metric or "loss")
            for result in results
        },
        roles=mixtures.roles,
        ignored=_unused(mixtures.ignored | ignored, mixtures, results),
        key=key,
        left_out=reasons,
        unmatched_rows=unmatched,
    )
    return runs, reading


def _check_one_size(runs: Runs, mixtures: Mixtures, where: str) -> None:
    if runs.parameters is not None and np.ptp(runs.parameters) > 0.02 * runs.parameters.max():
        sizes = ", ".join(f"{size:.4g}" for size in np.unique(runs.parameters)[:6])
        raise UserError(
            f"{where}: column {mixtures.roles['parameters']} holds models of several sizes "
            f"({sizes}); the laws see tokens alone, so give the runs of one size"
        )


def _unused(
    ignored: dict[str, str], mixtures: Mixtures, results: Sequence[Result]
) -> dict[str, str]:
    """Columns left aside by both tables: one table for both reads each column once."""
    used = {result.column for result in results} | set(mixtures.roles.values())
    return {column: why for column, why in ignored.items() if column not in used}


def _pairs(
    mixtures: Mixtures, losses: Table, rows: int, where: str, choice: Choice
) -> tuple[str | None, np.ndarray, np.ndarray, list[str]]:
    """The joining column, row numbers in both tables that belong together, the runs' names."""
    others = {column.strip().lower(): column for column in keys_of(losses, choice)}
    for key, names in mixtures.keys.items():
        partner = others.get(key.strip().lower())
        if partner is None:
            continue
        place = {str(item): i for i, item in enumerate(losses[partner])}
        if len(place) < rows or len(set(names)) < len(names):
            raise UserError(
                f"{where}: column {key!r} names a run twice; give another with --key COLUMN"
            )
        left = [i for i, name in enumerate(names) if name in place]
        if not left:
            raise UserError(f"{where}: no value of column {key} is in both tables")
        right = [place[names[i]] for i in left]
        return key, np.array(left), np.array(right), [names[i] for i in left]
    if rows != len(mixtures.tokens):
        raise UserError(
            f"{where}: {rows} rows, but {len(mixtures.tokens)} mixtures; give both tables a column "
            "that names the run (such as run_id), or say which it is with --key COLUMN"
        )
    order = np.arange(rows)
    return None, order, order, [f"row {i + 1}" for i in order]


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
