"""Fit two tables: mixtures with losses."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.atomic import atomic_write, write_json
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import Cost, Mixture, TableReading, write_fit
from mixscale.contracts.target import sorted_targets
from mixscale.fit.inputs.columns import Table
from mixscale.fit.inputs.long_table import widened
from mixscale.fit.inputs.mixture_table import Mixtures, mixtures_of
from mixscale.fit.inputs.options import Options, TableSettings, column_choice, table_settings
from mixscale.fit.inputs.points import PLENTY, Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.table_files import read_table, stacked
from mixscale.fit.inputs.tables import join
from mixscale.fit.output.cautions import reading_cautions
from mixscale.fit.output.page import report
from mixscale.fit.output.record import Provenance
from mixscale.fit.output.wording import reading_remarks
from mixscale.fit.pipeline import Fit, Request, fit_runs
from mixscale.fit.predictions import matching_points, prediction_rows

Files = Path | Sequence[Path]
"""A table, or several of one kind whose rows belong together."""


def fit_tables(
    mixtures: Files,
    losses: Files,
    *,
    law: str = "auto",
    predict: Path | None = None,
    out: Path | None = None,
    bootstrap: int = 1000,
    seed: int | None = None,
    settings: TableSettings | Path | None = None,
    options: Options | None = None,
) -> Path:
    """Fit a law to two tables (CSV or Parquet), as `fit_experiment` does to run records.

    Mixtures: a column for each domain (`w_<domain>`, also `weight_`, `ratio_`, `proportion_`,
    `share_`, `tokens_`), holding shares or percent that sum to 1 or 100, or tokens; optionally
    columns that name the run and give its tokens, its scale, its seed, its model's parameters, the
    unique tokens of its domains. Losses: a column for each validation domain (`loss_<domain>`,
    `<domain>_loss`, `ppl_<domain>` for perplexities, or as W&B exports them), or a row for each
    (`valid_domain`, `loss`). Columns without a mark are taken where that is beyond doubt, so
    Olmix's `ratios.csv` and `metrics.csv` are read as they are; `inputs/tables.py` has the rules,
    the record's `reading` what they came to.

    Args:
        mixtures, losses: The tables; the same ones twice where they hold both.
        law: Name of a law, or `auto`.
        predict: Mixtures to predict the losses of, into `predictions.csv`.
        out: Folder that gets `<fit_id>/`; `fits` beside the losses when absent.
        bootstrap: Resamples behind the intervals.
        seed: Of the resamples; made from the content of the tables when absent.
        settings: Objective, constraints, targets and what else the tables do not hold, or
            a YAML file with them.
        options: The same as text, from a command line.

    Returns:
        The folder with `fit.json`, `mixtures.csv` and `.json`, `report.html`, and
        `predictions.csv` and `.json` if asked.

    Raises:
        UserError: A table cannot be read or does not fit the other, or the law cannot be fitted.
    """
    left, right = _files(mixtures), _files(losses)
    first, second = (" + ".join(map(str, files)) for files in (left, right))
    table = widened(stacked([read_table(path) for path in left], list(map(str, left))), first)
    results = table
    if right != left:
        files = [read_table(path) for path in right]
        results = widened(stacked(files, list(map(str, right))), second)
    if not isinstance(settings, TableSettings):
        choice = column_choice(settings, options or Options())
        domains = mixtures_of(table, first, choice=choice).domains
        settings = table_settings(settings, options or Options(), domains)
    runs, reading = read_runs(table, results, settings, (first, second))
    planned = None if predict is None else _planned(predict, runs, settings)
    content = content_sha256(runs, law, bootstrap, seed, settings)
    name = "-".join(dict.fromkeys((left[0].stem, right[0].stem)))
    fitted = fit_table_runs(
        runs,
        law=law,
        settings=settings,
        bootstrap=bootstrap,
        seed=seed,
        name=name,
        reading=reading,
        content=content,
    )
    folder = (right[0].parent / "fits" if out is None else Path(out)) / fitted.record.fit_id
    if planned is not None:
        rows = prediction_rows(*planned, fitted.law, bootstrap, reading.results)
        _write_rows(folder, "predictions", rows)
    _write_rows(folder, "mixtures", mixture_rows(fitted.record.mixtures, runs.domains))
    write_fit(folder, fitted.record)
    report(folder)
    return folder


def _planned(path: Path, runs: Runs, settings: TableSettings) -> tuple[Mixtures, Points]:
    """The runs of a table to predict, which may have results that are not looked at."""
    table = widened(read_table(path), str(path))
    wanted = mixtures_of(table, str(path), None, settings.choice)
    return wanted, matching_points(wanted, runs, str(path), settings.available_tokens)


def _files(given: Files) -> list[Path]:
    return [Path(given)] if isinstance(given, str | os.PathLike) else [Path(p) for p in given]


def read_runs(
    mixtures: Table, losses: Table, settings: TableSettings, where: tuple[str, str]
) -> tuple[Runs, TableReading]:
    """Read wide tables as runs, with the settings for what they do not tell.

    Raises:
        UserError: What a table holds cannot be told, or the settings ask for what it lacks.
    """
    read = mixtures_of(mixtures, where[0], settings.run_tokens, settings.choice)
    unknown = sorted(set(settings.available_tokens) - set(read.domains))
    if unknown:
        raise UserError(
            f"available_tokens: {unknown} are not training domains; they are {list(read.domains)}"
        )
    runs, reading = join(
        read,
        losses,
        where[1],
        settings.choice,
        dict(settings.available_tokens),
        one_table=losses is mixtures,
    )
    check_tokens(runs, settings, where[0])
    return runs, reading


def fit_table_runs(
    runs: Runs,
    *,
    law: str,
    settings: TableSettings,
    bootstrap: int,
    seed: int | None,
    name: str,
    reading: TableReading,
    content: str,
) -> Fit:
    """Fit and describe runs that came from tables, without touching files."""
    request = Request(
        law=law,
        objective=settings.objective,
        constraints=settings.constraints,
        budgets=sorted_targets(settings.targets),
        available=settings.available_tokens or common_supply(runs),
        current=settings.current,
        risk=settings.risk,
        draws=bootstrap,
        seed=seed,
    )

    def provenance(chosen: str) -> Provenance:
        tokens = int(runs.tokens.sum()) if runs.scale.max() > 1 else None
        return Provenance(
            fit_id=f"{name}-{chosen}-{content[:8]}",
            warnings=(*reading_remarks(reading), *supply_remarks(runs, settings)),
            cautions=tuple(reading_cautions(reading)),
            reading=reading,
            cost=Cost(runs=len(runs), tokens=tokens, seconds=None),
        )

    return fit_runs(runs, request, provenance)


def supply_remarks(runs: Runs, settings: TableSettings) -> tuple[str, ...]:
    """Say what is not known of the text that a run to come has."""
    if runs.unique_tokens is None or not settings.targets or settings.available_tokens:
        return ()
    if not np.ptp(runs.unique_tokens, axis=0).any():
        return ()
    return (
        "The runs had different numbers of unique tokens, so what a target has is not known: it is "
        "taken to have plenty of each domain; --available DOMAIN=TOKENS tells.",
    )


def common_supply(runs: Runs) -> dict[str, int]:
    """Unique tokens by domain, where all runs had the same to offer: what a run to come has too."""
    unique = runs.unique_tokens
    if unique is None or np.ptp(unique, axis=0).any():
        return {}
    known = zip(runs.domains, unique[0].tolist(), strict=True)
    return {domain: round(tokens) for domain, tokens in known if tokens < PLENTY}


def check_tokens(runs: Runs, settings: TableSettings, where: str) -> None:
    """Refuse what only tables that tell the runs' tokens can answer."""
    asked = settings.constraints
    supplied = settings.available_tokens or common_supply(runs)
    if asked.max_epochs is not None and not supplied:
        raise UserError("max_epochs: how many tokens there are of each domain must be given")
    needing = "targets" if settings.targets else "max_epochs" if asked.max_epochs else ""
    if needing and runs.scale.max() <= 1:
        raise UserError(
            f"{needing}: {where} does not tell the runs' tokens; add a column `tokens`, or give "
            "the tokens of every run"
        )


def mixture_rows(mixtures: Sequence[Mixture], domains: Sequence[str]) -> list[dict[str, Any]]:
    """Two rows for each budget: the optimum, then the recommended mixture."""
    rows = []
    for mixture in mixtures:
        both = {"optimum": mixture.proportions, "recommended": mixture.recommended}
        for name, shares in both.items():
            if shares is None:
                continue
            objective = mixture.predicted_objective if name == "optimum" else None
            head = {"mixture": name, "kind": mixture.kind, "token_budget": mixture.token_budget}
            head["parameters"] = mixture.parameters
            rows.append(head | {"objective": objective} | {f"w_{d}": shares[d] for d in domains})
    return rows


def content_sha256(runs: Runs, *settings: Any) -> str:
    """Hash what the result depends on."""
    digest = hashlib.sha256()
    for array in (runs.tokens, runs.losses, runs.scale, runs.parameters, runs.unique_tokens):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    plain = [_plain(s) if isinstance(s, TableSettings) else s for s in settings]
    digest.update(json.dumps([runs.domains, runs.validation, plain], default=list).encode())
    return digest.hexdigest()


def _plain(settings: TableSettings) -> dict[str, Any]:
    """Settings for the hash; what is new among them counts only when it is used."""
    columns = {
        "domains", "results", "key", "size", "tokens_per_step", "keep_early", "higher_is_better",
        "lower_is_better", "risk",
    }  # fmt: skip
    plain = settings.model_dump(mode="json", exclude=columns)
    if isinstance(plain.get("objective"), dict):
        plain["objective"] = {
            key: value
            for key, value in plain["objective"].items()
            if value or key not in ("families", "drop", "no_worse")
        }
    return plain | settings.model_dump(mode="json", include=columns, exclude_defaults=True)


def _write_rows(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the same rows as CSV and as JSON."""
    with atomic_write(folder / f"{name}.csv") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_json(folder / f"{name}.json", rows)
