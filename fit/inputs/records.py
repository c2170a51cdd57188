"""Runs read from the records of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import Caution
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.sweep_record import read_sweep, sweep_records
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs
from mixscale.fit.inputs.scales import cluster_scales, run_labels
from mixscale.fit.inputs.task_records import with_tasks


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The runs of an experiment, and those it lacks."""

    records: tuple[RunRecord, ...]
    """Finished."""
    warnings: tuple[str, ...]
    cautions: tuple[Caution, ...] = ()
    """The same in short."""


def gather(out: Path, name: str) -> Gathered:
    """Read the finished runs of a sweep.

    Raises:
        UserError: The sweep was never started, or no run has finished.
    """
    planned = read_sweep(out, name).run_ids
    records = tuple(sweep_records(out, name))
    ended = {record.run_id for record in records}
    missing = [run_id for run_id in planned if run_id not in ended]
    reasons = {record.run_id: _reason_against(record) for record in records}
    broken = [record for record in records if reasons[record.run_id]]
    finished = tuple(record for record in records if not reasons[record.run_id])
    warnings = []
    if missing:
        warnings.append(
            f"{len(missing)} of {len(planned)} planned runs are missing: {_some(missing)}. "
            "`mixscale sweep` with the same experiment runs them."
        )
    if broken:
        names = [f"{record.run_id} ({reasons[record.run_id]})" for record in broken]
        warnings.append(f"{len(broken)} runs did not finish and are left out: {_some(names)}.")
    if not finished:
        raise UserError(f"{out}: experiment {name} has no finished run. " + " ".join(warnings))
    return Gathered(
        records=finished,
        warnings=tuple(warnings),
        cautions=tuple(_cautions(len(missing), len(broken), len(planned))),
    )


def _cautions(missing: int, broken: int, planned: int) -> Iterator[Caution]:
    if missing:
        yield Caution(
            costs="decision",
            says=f"{missing} of {planned} planned runs are missing",
            remedy="`mixscale sweep` with the same experiment runs them",
        )
    if broken:
        yield Caution(
            costs="decision",
            says=f"{broken} of {planned} runs did not finish and are left out",
            remedy="--details names them with the reason",
        )


def _reason_against(record: RunRecord) -> str | None:
    """Return why a run cannot be fitted to, if it cannot."""
    if record.status != "finished":
        return record.status
    if not record.evaluation:
        return "no validation loss"
    losses = {domain: loss.loss_nats for domain, loss in record.evaluation.items()}
    wrong = [domain for domain, loss in losses.items() if not math.isfinite(loss)]
    return f"validation loss of {wrong[0]} is {losses[wrong[0]]}" if wrong else None


def runs_from_records(records: Sequence[RunRecord], objective: Objective | None = None) -> Runs:
    """Gather finished run records.

    Args:
        records: Of the runs.
        objective: What tasks count: those whose metric it asks for or that it names. Without tasks
            among them the results are the losses of the validation domains.

    Raises:
        UserError: There are none, they do not share their domains, or a run was not evaluated on a
            task that counts.
    """
    if not records:
        raise UserError("no finished run to fit; `mixscale sweep experiment.yaml` runs them")
    domains = tuple(records[0].domains)
    validation = tuple(records[0].evaluation)
    for record in records:
        for key, names in (("domains", domains), ("evaluation", validation)):
            differing = sorted(set(getattr(record, key)) ^ set(names))
            if differing:
                raise UserError(
                    f"run {record.run_id}: {key} differ from run {records[0].run_id}: {differing}; "
                    "the runs of one experiment must share them"
                )
    errors = _by_validation(records, validation, "standard_error")
    losses = _by_validation(records, validation, "loss_nats")
    measured = with_tasks(records, losses, errors, objective or Objective())
    parameters, parameters_are = _parameters(records)
    scale = cluster_scales(np.array([r.scale_tokens or r.token_budget for r in records], float))
    named = tuple(_mixture_name(record) for record in records)
    unique = np.array([[r.domains[d].supply_tokens for d in domains] for r in records], float)
    return Runs(
        domains=domains,
        validation=measured.names,
        tokens=np.array([[r.domains[d].seen_tokens for d in domains] for r in records], float),
        losses=measured.values,
        errors=measured.errors if np.isfinite(measured.errors).all() else None,
        results=measured.results,
        behind=measured.behind,
        behind_columns=measured.behind_columns,
        scale=scale,
        changed=tuple(_changed(record) for record in records),
        labels=run_labels(named, scale, parameters, unique),
        named=named,
        seeds=tuple(record.seed for record in records),
        unique_tokens=unique,
        parameters=parameters,
        parameters_are=parameters_are,
    )


def _parameters(records: Sequence[RunRecord]) -> tuple[Floats | None, str | None]:
    """(runs,) parameters of the models, without embeddings where all records have that number."""
    known = [record.non_embedding_parameters for record in records]
    if all(known):
        return np.array(known, float), "non-embedding"
    total = [record.parameters for record in records]
    return (np.array(total, float), "total") if all(total) else (None, None)


def bits_per_nat(records: Sequence[RunRecord], validation: Sequence[str]) -> Floats:
    """(validation,) bits per byte of a loss of one nat, from the measured pairs; nan without."""
    bits = _by_validation(records, validation, "bits_per_byte")
    return (bits / _by_validation(records, validation, "loss_nats")).mean(0)


def _by_validation(records: Sequence[RunRecord], names: Sequence[str], field: str) -> Floats:
    rows = [
        [getattr(r.evaluation[name], field) if name in r.evaluation else None for name in names]
        for r in records
    ]
    return np.array(rows, dtype=np.float64)


def _changed(record: RunRecord) -> str:
    if record.role == "base":
        return BASE
    if record.role in ("increased", "reduced") and record.domain is not None:
        return record.domain
    return MIXTURE


def _mixture_name(record: RunRecord) -> str:
    if record.role == "mixture":
        return record.mixture or record.run_id
    if record.role == "single":
        return record.run_id
    return f"{record.role} {record.domain or ''} {record.factor:g}"


def _some(names: Sequence[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
