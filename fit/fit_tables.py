"""Fit two tables: mixtures with losses."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mixscale.contracts.atomic import atomic_write, write_json
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import Cost, Mixture, TableReading, write_fit
from mixscale.fit.inputs.mixture_table import Mixtures, mixtures_of
from mixscale.fit.inputs.options import Options, TableSettings, column_choice, table_settings
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.tables import join, read_table
from mixscale.fit.laws.base import FittedLaw
from mixscale.fit.output.page import report
from mixscale.fit.output.record import Provenance
from mixscale.fit.output.wording import reading_remarks
from mixscale.fit.pipeline import Fit, Request, fit_runs


def fit_tables(
    mixtures: Path,
    losses: Path,
    *,
    law: str = "auto",
    predict: Path | None = None,
    out: Path | None = None,
    bootstrap: int = 1000,
    seed: int | None = None,
    settings: TableSettings | Path | None = None,
    options: Options | None = None,
) -> Path:
    """Fit a law to two tables (wide CSV or Parquet), as `fit_experiment` does to run records.

    Mixtures: a column for each domain (`w_<domain>`, also `weight_`, `ratio_`, `proportion_`,
    `share_`, `tokens_`), holding shares or percent that sum to 1 or 100, or tokens; optionally
    columns that name the run and give its tokens, its scale, its seed, its model's parameters.
    Losses: a column for each validation domain (`loss_<domain>`, `<domain>_loss`,
    `ppl_<domain>` for perplexities, or as W&B exports them). Columns without a mark are taken
    where that is beyond doubt, so Olmix's `ratios.csv` and `metrics.csv` are read as they are;
    `inputs/tables.py` has the rules, the record's `reading` what they came to.

    Args:
        mixtures, losses: The tables.
        law: Name of a law, or `auto`.
        predict: Mixtures to predict the losses of, into `predictions.csv`.
        out: Folder that gets `<fit_id>/`; `fits` beside the losses when absent.
        bootstrap: Resamples behind the intervals.
        seed: Of the resamples; made from the content of the tables when absent.
        settings: Objective, constraints, token budgets and what else the tables do not hold, or
            a YAML file with them.
        options: The same as text, from a command line.

    Returns:
        The folder with `fit.json`, `mixtures.csv` and `.json`, `report.html`, and
        `predictions.csv` and `.json` if asked.

    Raises:
        UserError: A table cannot be read or does not fit the other, or the law cannot be fitted.
    """
    table = read_table(mixtures)
    if not isinstance(settings, TableSettings):
        choice = column_choice(settings, options or Options())
        domains = mixtures_of(table, str(mixtures), choice=choice).domains
        settings = table_settings(settings, options or Options(), domains)
    read = mixtures_of(table, str(mixtures), settings.run_tokens, settings.choice)
    runs, reading = join(read, read_table(losses), str(losses), settings.choice)
    check_tokens(runs, settings, str(mixtures))
    wanted = None
    if predict is not None:
        wanted = mixtures_of(
            read_table(predict), str(predict), settings.run_tokens, settings.choice
        )
    content = content_sha256(runs, law, bootstrap, seed, settings)
    name = "-".join(dict.fromkeys((Path(mixtures).stem, Path(losses).stem)))
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
    folder = (Path(losses).parent / "fits" if out is None else Path(out)) / fitted.record.fit_id
    if wanted is not None:
        points = matching_points(wanted, runs, str(predict))
        _write_rows(folder, "predictions", prediction_rows(wanted, fitted.law.fitted, points, runs))
    _write_rows(folder, "mixtures", mixture_rows(fitted.record.mixtures, runs.domains))
    write_fit(folder, fitted.record)
    report(folder)
    return folder


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
        budgets=tuple(sorted(set(settings.targets))),
        available=settings.available_tokens,
        current=settings.current,
        draws=bootstrap,
        seed=seed,
    )

    def provenance(chosen: str) -> Provenance:
        tokens = int(runs.tokens.sum()) if runs.scale.max() > 1 else None
        return Provenance(
            fit_id=f"{name}-{chosen}-{content[:8]}",
            warnings=reading_remarks(reading),
            reading=reading,
            cost=Cost(runs=len(runs), tokens=tokens, seconds=None),
        )

    return fit_runs(runs, request, provenance)


def check_tokens(runs: Runs, settings: TableSettings, where: str) -> None:
    """Refuse what only tables that tell the runs' tokens can answer."""
    asked = settings.constraints
    if asked.max_epochs is not None and not settings.available_tokens:
        raise UserError("max_epochs: how many tokens there are of each domain must be given")
    needing = "targets" if settings.targets else "max_epochs" if asked.max_epochs else ""
    if needing and runs.scale.max() <= 1:
        raise UserError(
            f"{needing}: {where} does not tell the runs' tokens; add a column `tokens`, or give "
            "the tokens of every run"
        )


def matching_points(wanted: Mixtures, runs: Runs, where: str) -> Points:
    """The wanted mixtures in the order of the runs' domains."""
    differing = sorted(set(wanted.domains) ^ set(runs.domains))
    if differing:
        raise UserError(f"{where}: domains differ from the fitted ones: {differing}")
    order = [wanted.domains.index(name) for name in runs.domains]
    tokens = wanted.tokens[:, order]
    # Shares alone are predicted at the size of the largest runs.
    if wanted.scale.max() <= 1:
        tokens = tokens * runs.scale.max()
    planned = runs.planned(float(tokens.sum(-1).max()))
    return replace(planned.with_shares(tokens), tokens=tokens)


def prediction_rows(
    wanted: Mixtures, law: FittedLaw, points: Points, runs: Runs
) -> list[dict[str, Any]]:
    """A row for each wanted mixture: its names, the objective, every loss."""
    losses, objective = law.predict_losses(points), law.predict_objective(points)
    return [
        {key: column[i] for key, column in wanted.keys.items()}
        | {"objective": float(f"{objective[i]:.8g}")}
        | {f"loss_{v}": float(f"{x:.8g}") for v, x in zip(runs.validation, row, strict=True)}
        for i, row in enumerate(losses)
    ]


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
            rows.append(head | {"objective": objective} | {f"w_{d}": shares[d] for d in domains})
    return rows


def content_sha256(runs: Runs, *settings: Any) -> str:
    """Hash what the result depends on."""
    digest = hashlib.sha256()
    for array in (runs.tokens, runs.losses, runs.scale):
        digest.update(np.ascontiguousarray(array).tobytes())
    plain = [_plain(s) if isinstance(s, TableSettings) else s for s in settings]
    digest.update(json.dumps([runs.domains, runs.validation, plain], default=list).encode())
    return digest.hexdigest()


def _plain(settings: TableSettings) -> dict[str, Any]:
    """Settings for the hash; what is new among them counts only when it is used."""
    columns = {"domains", "results", "key"}
    plain = settings.model_dump(mode="json", exclude=columns)
    return plain | settings.model_dump(mode="json", include=columns, exclude_defaults=True)


def _write_rows(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the same rows as CSV and as JSON."""
    with atomic_write(folder / f"{name}.csv") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_json(folder / f"{name}.json", rows)
