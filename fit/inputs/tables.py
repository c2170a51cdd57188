"""Two tables, or one with both: mixtures with results, read as runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.config import format_tokens, parse_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import ReadResult, TableReading
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.columns import (
    Choice,
    Result,
    Table,
    is_positional,
    keys_of,
    numbers,
    roles_of,
    unfinished_rows,
)
from mixscale.fit.inputs.mixture_table import Mixtures
from mixscale.fit.inputs.result_table import in_nats, results_of
from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs
from mixscale.fit.inputs.scales import (
    cluster_scales,
    earlier_checkpoints,
    mixture_names,
    training_runs,
)

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
    pairs = _pairs(mixtures, losses, len(values), where, choice)
    key, left, right, names = pairs.key, pairs.left, pairs.right, pairs.names
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
    named = [name for name, keep in zip(names, kept, strict=True) if keep]
    run_names = None
    if pairs.run_names is not None:
        run_names = [name for name, keep in zip(pairs.run_names, kept, strict=True) if keep]
    runs = _runs(mixtures, left, tuple(r.name for r in results), values[right], run_names)
    earlier = earlier_checkpoints(runs.training_runs, runs.scale, runs.tokens.sum(-1))
    for row, later in earlier.items():
        reasons[named[row]] = f"an earlier checkpoint at the scale of {named[later]}"
    runs = runs.where([row for row in range(len(runs)) if row not in earlier])
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


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """Rows of the two tables that belong together."""

    key: str | None
    """The joining column."""
    left: np.ndarray
    right: np.ndarray
    names: list[str]
    """For messages, each once."""
    run_names: list[str] | None
    """What the tables call the runs, once for each checkpoint; None where they do not."""


def _runs(
    mixtures: Mixtures,
    rows: np.ndarray,
    validation: tuple[str, ...],
    losses: Floats,
    names: list[str] | None,
) -> Runs:
    """The runs of some rows of a table of mixtures."""
    tokens = mixtures.tokens[rows]
    changed, scale = _changes(tokens, mixtures.scale[rows], mixtures.domains)
    scale = cluster_scales(scale)
    same = mixture_names(tokens / tokens.sum(-1, keepdims=True))
    seeds = tuple(mixtures.seeds[i] for i in rows) if mixtures.seeds else ()
    parameters = None if mixtures.parameters is None else mixtures.parameters[rows]
    return Runs(
        domains=mixtures.domains,
        validation=validation,
        tokens=tokens,
        losses=losses,
        errors=None,
        scale=scale,
        changed=changed,
        labels=tuple(f"{name}@{at:.0f}" for name, at in zip(same, scale.tolist(), strict=True)),
        seeds=seeds,
        parameters=parameters,
        training_runs=training_runs(names, same, scale, seeds, parameters),
    )


def _pairs(mixtures: Mixtures, losses: Table, rows: int, where: str, choice: Choice) -> _Pairs:
    """Join by a column that names the run in both tables, else by row."""
    others = {column.strip().lower(): column for column in keys_of(losses, choice)}
    for key, names in mixtures.keys.items():
        partner = others.get(key.strip().lower())
        if partner is None:
            continue
        theirs = [str(item) for item in losses[partner]]
        if len(set(theirs)) < rows or len(set(names)) < len(names):
            return _pairs_of_checkpoints(mixtures, losses, key, names, theirs, where)
        place = {name: i for i, name in enumerate(theirs)}
        left = [i for i, name in enumerate(names) if name in place]
        if not left:
            raise UserError(f"{where}: no value of column {key} is in both tables")
        matched = [names[i] for i in left]
        return _Pairs(
            key=key,
            left=np.array(left),
            right=np.array([place[name] for name in matched]),
            names=matched,
            run_names=None if is_positional(names) else matched,
        )
    if rows != len(mixtures.tokens):
        raise UserError(
            f"{where}: {rows} rows, but {len(mixtures.tokens)} mixtures; give both tables a column "
            "that names the run (such as run_id), or say which it is with --key COLUMN"
        )
    order = np.arange(rows)
    names = [f"row {i + 1}" for i in order]
    return _Pairs(key=None, left=order, right=order, names=names, run_names=None)


def _pairs_of_checkpoints(
    mixtures: Mixtures,
    losses: Table,
    key: str,
    names: Sequence[str],
    theirs: Sequence[str],
    where: str,
) -> _Pairs:
    """Join rows of which several belong to one run, by the run's name with its tokens."""
    twice = UserError(
        f"{where}: column {key!r} names a run twice; give another with --key COLUMN, or a column "
        "`tokens` in both tables if these rows are checkpoints of one run"
    )
    tokens = mixtures.scale
    ours = list(zip(names, tokens.tolist(), strict=True))
    if len(set(ours)) < len(ours):
        raise twice
    left = right = np.arange(len(ours))
    if list(names) != list(theirs):
        column = roles_of(losses).get("tokens")
        if column is None:
            raise twice
        others = list(zip(theirs, numbers(losses[column]).tolist(), strict=True))
        place = {pair: i for i, pair in enumerate(others)}
        if len(place) < len(others):
            raise twice
        left = np.array([i for i, pair in enumerate(ours) if pair in place], dtype=int)
        if not len(left):
            raise UserError(f"{where}: no {key} with the same tokens is in both tables")
        right = np.array([place[ours[i]] for i in left], dtype=int)
    return _Pairs(
        key=key,
        left=left,
        right=right,
        names=[f"{names[i]} at {_exact_tokens(float(tokens[i]))} tokens" for i in left],
        run_names=[names[int(i)] for i in left],
    )


def _exact_tokens(tokens: float) -> str:
    """Short where nothing is lost by it: checkpoints may lie close together."""
    short = format_tokens(tokens)
    return short if parse_tokens(short) == tokens else f"{tokens:.0f}"


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
