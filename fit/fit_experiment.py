"""Fit the runs of an experiment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from mixscale.contracts.experiment import (
    BaseMixture,
    DdoDesign,
    Experiment,
    SwarmDesign,
    read_experiment,
)
from mixscale.contracts.fit_record import Cost, FitRecord, write_fit
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.target import sorted_targets
from mixscale.fit.inputs.learning_curves import with_checkpoints
from mixscale.fit.inputs.records import Gathered, bits_per_nat, gather, runs_from_records
from mixscale.fit.output.page import report
from mixscale.fit.output.record import Provenance
from mixscale.fit.output.versions import versions
from mixscale.fit.pipeline import Request, fit_runs


def fit_experiment(
    experiment_yaml: Path, *, law: str = "auto", bootstrap: int = 1000, seed: int | None = None
) -> Path:
    """Fit a law to an experiment's runs and project the mixture to its token budgets.

    Args:
        experiment_yaml: The experiment.
        law: Name of a law, or `auto`.
        bootstrap: Resamples behind the intervals; 0 for none.
        seed: Of the resamples; made from the content of the runs when absent.

    Returns:
        The folder `<out>/fits/<fit_id>` with `fit.json`, `report.html` and the figures.

    Raises:
        UserError: Runs are missing that the law cannot do without, or settings do not fit the runs.
    """
    experiment = read_experiment(experiment_yaml)
    out = Path(str(experiment.out))
    gathered = gather(out, experiment.name)
    record = fit_gathered(experiment, gathered, law=law, bootstrap=bootstrap, seed=seed)
    folder = out / "fits" / record.fit_id
    write_fit(folder, record)
    report(folder)
    return folder


def fit_gathered(
    experiment: Experiment,
    gathered: Gathered,
    *,
    law: str,
    bootstrap: int,
    seed: int | None = None,
) -> FitRecord:
    """Fit without touching files.

    Raises:
        UserError: The runs do not suit the law or the settings.
    """
    records = gathered.records
    runs, remarks = runs_from_records(records, experiment.objective), ()
    if experiment.fit_checkpoints:
        runs, remarks = with_checkpoints(runs, records)
    available = {name: t.available_tokens for name, t in records[0].domains.items()}
    content = _content(experiment, records, law, bootstrap, seed)
    request = Request(
        law=law,
        objective=experiment.objective,
        constraints=experiment.constraints,
        budgets=sorted_targets(experiment.targets),
        available=available,
        current=_current(experiment),
        risk=experiment.risk,
        draws=bootstrap,
        seed=seed,
    )

    def provenance(chosen: str) -> Provenance:
        return Provenance(
            fit_id=f"{experiment.name}-{chosen}-{content[:8]}",
            experiment=experiment.name,
            warnings=(*gathered.warnings, *remarks),
            cautions=gathered.cautions,
            cost=Cost(
                runs=len(records),
                tokens=sum(record.seen_tokens for record in records),
                seconds=sum(record.seconds for record in records),
                device_seconds=_seconds_by_device(records),
            ),
            run_ids=tuple(record.run_id for record in records),
        )

    return fit_runs(runs, request, provenance, bits_per_nat(records, runs.validation)).record


def _seconds_by_device(records: Sequence[RunRecord]) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for record in records:
        seconds[record.device] = seconds.get(record.device, 0.0) + record.seconds
    return seconds


def _content(
    experiment: Experiment, records: Sequence[RunRecord], law: str, bootstrap: int, seed: int | None
) -> str:
    """Hash what the result depends on, and nothing about where it lies."""
    settings = experiment.model_dump(mode="json", exclude={"shardset", "out"})
    objective = settings["objective"]
    for key in ("families", "drop", "no_worse"):
        if not objective.get(key):
            objective.pop(key, None)
    if not experiment.fit_checkpoints:
        settings.pop("fit_checkpoints")
    losses = [[r.run_id, [e.loss_nats for e in r.evaluation.values()]] for r in records]
    tasks = [[[e.metric, e.task, e.value] for e in r.evaluations] for r in records]
    losses += [tasks] if any(tasks) else []
    whole = [settings, losses, law, bootstrap, seed, versions()["mixscale"]]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _current(experiment: Experiment) -> BaseMixture:
    """The mixture the design starts from."""
    design = experiment.design
    if isinstance(design, DdoDesign):
        return design.base
    return design.prior if isinstance(design, SwarmDesign) else "uniform"
