"""Fits from any two tables: mixtures with losses."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contracts.atomic import atomic_write
from contracts.errors import UserError
from contracts.experiment import Constraints, Objective
from fit.arrays import Bools, Floats
from fit.runs import BASE, MIXTURE, Runs

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


def fit_tables(
    mixtures: Path,
    losses: Path,
    *,
    law: str = "auto",
    predict: Path | None = None,
    out: Path | None = None,
    bootstrap: int = 200,
    objective: Objective | None = None,
    constraints: Constraints | None = None,
    targets: Sequence[int] = (),
) -> Path:
    """Fit a law to two tables (wide CSV or Parquet), as `fit_experiment` does to run records.

    Mixtures: a column for each domain (named `w_<domain>`, or every numeric column that is not
    aside), holding shares that sum to 1 or tokens; optionally a column that names the run, one with
    its tokens (`token_budget`) and one with its `scale`. Losses: a column for each validation
    domain (`loss_<domain>`, or `ppl_<domain>` for perplexities, or every other numeric column).
    Olmix's `ratios.csv` and `metrics.csv` are read as they are.

    Args:
        mixtures, losses: The tables.
        law: Name of a law, or `auto`.
        predict: Mixtures to predict the losses of, into `predictions.csv`.
        out: Folder that gets `<fit_id>/`; `fits` beside the losses when absent.
        bootstrap: Resamples behind the intervals.
        objective, constraints: As in an experiment.
        targets: Token budgets to carry the mixture to; the table must tell the runs' tokens.

    Returns:
        The folder with `fit.json`, `mixtures.csv`, `report.html`, and `predictions.csv` if asked.

    Raises:
        UserError: A table cannot be read or does not fit the other, or the law cannot be fitted.
    """
    from fit.api import fit_runs
    from fit.record import write_fit

    runs, warnings = join(read_mixtures(mixtures), read_table(losses), str(losses))
    wanted = None if predict is None else read_mixtures(predict)
    name = "-".join(dict.fromkeys((Path(mixtures).stem, Path(losses).stem)))
    fitted = fit_runs(
        runs,
        law=law,
        objective=objective or Objective(),
        constraints=constraints or Constraints(),
        targets=tuple(targets),
        bootstrap=bootstrap,
        name=name,
        warnings=warnings,
        content=_content(runs, law, bootstrap, objective, constraints, targets),
    )
    folder = (Path(losses).parent / "fits" if out is None else Path(out)) / fitted.record.fit_id
    if wanted is not None:
        tokens = _matching(wanted, runs, str(predict))
        _write_predictions(folder, wanted, fitted.losses(tokens), fitted.objective(tokens), runs)
    _write_mixtures(folder, fitted.record.mixtures, runs.domains)
    write_fit(folder, fitted.record)
    from fit.report import report

    report(folder)
    return folder


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


def read_mixtures(path: str | Path) -> Mixtures:
    """Read a table of mixtures; see `mixtures_of`."""
    return mixtures_of(read_table(path), str(path))


def mixtures_of(table: Table, where: str) -> Mixtures:
    """Understand a table of mixtures.

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


def _matching(wanted: Mixtures, runs: Runs, where: str) -> Floats:
    """(rows, domains) tokens in the order of the runs' domains."""
    differing = sorted(set(wanted.domains) ^ set(runs.domains))
    if differing:
        raise UserError(f"{where}: domains differ from the fitted ones: {differing}")
    order = [wanted.domains.index(name) for name in runs.domains]
    tokens = wanted.tokens[:, order]
    # Shares alone are predicted at the size of the largest runs.
    return tokens * runs.scale.max() if wanted.scale.max() <= 1 else tokens


def _content(runs: Runs, *settings: Any) -> str:
    """Hash what the result depends on."""
    digest = hashlib.sha256()
    for array in (runs.tokens, runs.losses, runs.scale):
        digest.update(np.ascontiguousarray(array).tobytes())
    plain = [s.model_dump(mode="json") if hasattr(s, "model_dump") else s for s in settings]
    digest.update(json.dumps([runs.domains, runs.validation, plain], default=list).encode())
    return digest.hexdigest()


def _write_predictions(
    folder: Path, wanted: Mixtures, losses: Floats, objective: Floats, runs: Runs
) -> None:
    with atomic_write(folder / "predictions.csv") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*wanted.keys, "objective", *(f"loss_{name}" for name in runs.validation)])
        for i, row in enumerate(losses):
            names = [column[i] for column in wanted.keys.values()]
            writer.writerow([*names, f"{objective[i]:.8g}", *(f"{value:.8g}" for value in row)])


def _write_mixtures(folder: Path, mixtures: Sequence[Any], domains: Sequence[str]) -> None:
    with atomic_write(folder / "mixtures.csv") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["kind", "token_budget", "objective", *(f"w_{name}" for name in domains)])
        for mixture in mixtures:
            shares = [mixture.proportions[name] for name in domains]
            head = [mixture.kind, mixture.token_budget, mixture.predicted_objective]
            writer.writerow([*head, *shares])
