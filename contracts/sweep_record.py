"""`sweeps/<name>.json`: the runs that an experiment consists of now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mixscale.contracts.atomic import write_json
from mixscale.contracts.config import Config, read_json, validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RESULT, RunRecord, read_record, run_folder


class SweepRecord(Config):
    """The runs that an experiment plans, whether they have ended or not."""

    format: Literal[1] = 1
    name: str
    """Of the experiment."""
    experiment: dict[str, Any]
    """`experiment.yaml` with every default filled in."""
    run_ids: tuple[str, ...]
    """In the order of the plan."""


def write_sweep(out: str | Path, sweep: SweepRecord) -> Path:
    """Write the list of an experiment's runs under `out/sweeps`, atomically."""
    path = _path(out, sweep.name)
    write_json(path, sweep.model_dump(mode="json"))
    return path


def read_sweep(out: str | Path, name: str) -> SweepRecord:
    """Read the list of an experiment's runs.

    Raises:
        UserError: The sweep was never started, or its list is damaged.
    """
    path = _path(out, name)
    if not path.is_file():
        raise UserError(f"{path}: no sweep of that name; `mixscale sweep experiment.yaml` runs it")
    return validate(read_json(path), SweepRecord, str(path))


def sweep_records(out: str | Path, name: str) -> Iterator[RunRecord]:
    """Yield the records of a sweep's runs that have ended, in the order of the plan.

    Raises:
        UserError: The sweep was never started, or a record is damaged.
    """
    for run_id in read_sweep(out, name).run_ids:
        path = run_folder(out, run_id) / RESULT
        if path.is_file():
            yield read_record(path)


def _path(out: str | Path, name: str) -> Path:
    return Path(out) / "sweeps" / f"{name}.json"
