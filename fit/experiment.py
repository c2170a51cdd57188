"""Fit the runs of an experiment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import (
    BaseMixture,
    DdoDesign,
    Experiment,
    SwarmDesign,
    read_experiment,
)
from mixscale.contracts.fit_record import Cost, FitRecord, write_fit
from mixscale.contracts.run_record import RunRecord, read_sweep, sweep_records
from mixscale.fit.api import choose
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.named_mixtures import shares_of
from mixscale.fit.inputs.runs import bits_per_nat, runs_from_records
from mixscale.fit.output.page import report
from mixscale.fit.output.record import describe
from mixscale.fit.output.versions import versions
from mixscale.fit.solution import Question
from mixscale.fit.solve import solve


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The runs of an experiment, and those it lacks."""

    records: tuple[RunRecord, ...]
    """Finished."""
    warnings: tuple[str, ...]


def fit_experiment(
    experiment_yaml: Path, *, law: str = "auto", bootstrap: int = 1000, seed: int | None = None
) -> Path:
    """Fit a law to an experiment's runs and carry the mixture to its targets.

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
    record = fit_records(experiment, gathered, law=law, bootstrap=bootstrap, seed=seed)
    folder = out / "fits" / record.fit_id
    write_fit(folder, record)
    report(folder)
    return folder


def gather(out: Path, name: str) -> Gathered:
    """Read the finished runs of a sweep.

    Raises:
        UserError: The sweep was never started, or no run has finished.
    """
    planned = read_sweep(out, name).run_ids
    records = tuple(sweep_records(out, name))
    over = {record.run_id for record in records}
    missing = [run_id for run_id in planned if run_id not in over]
    broken = [record for record in records if record.status != "finished"]
    finished = tuple(record for record in records if record.status == "finished")
    warnings = []
    if missing:
        warnings.append(
            f"{len(missing)} of {len(planned)} planned runs are missing: {_some(missing)}. "
            "`mixscale sweep` with the same experiment runs them."
        )
    if broken:
        names = [f"{record.run_id} ({record.status})" for record in broken]
        warnings.append(f"{len(broken)} runs did not finish and are left out: {_some(names)}.")
    if not finished:
        raise UserError(f"{out}: experiment {name} has no finished run. " + " ".join(warnings))
    return Gathered(records=finished, warnings=tuple(warnings))


def fit_records(
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
    runs = runs_from_records(records)
    bits = bits_per_nat(records, runs.validation)
    chosen = choose(runs, law, experiment.objective, bits)
    available = {name: t.available_tokens for name, t in records[0].domains.items()}
    content = _content(experiment, records, law, bootstrap, seed)
    question = Question(
        target=chosen.target,
        constraints=experiment.constraints,
        budgets=tuple(sorted(experiment.targets)),
        available=available,
        current=_current(experiment, runs.domains, available),
        draws=bootstrap,
        seed=int(content[:8], 16) if seed is None else seed,
    )
    return describe(
        solve(runs, chosen.law, chosen.noise, question),
        fit_id=f"{experiment.name}-{chosen.name}-{content[:8]}",
        experiment=experiment.name,
        law=chosen.name,
        objective=experiment.objective,
        question=question,
        noise=chosen.noise,
        laws=chosen.scores,
        warnings=gathered.warnings,
        cost=Cost(
            runs=len(records),
            tokens=sum(record.seen_tokens for record in records),
            seconds=sum(record.seconds for record in records),
        ),
        run_ids=tuple(record.run_id for record in records),
        versions=versions(),
    )


def _content(
    experiment: Experiment, records: Sequence[RunRecord], law: str, bootstrap: int, seed: int | None
) -> str:
    """Hash what the result depends on, and nothing about where it lies."""
    settings = experiment.model_dump(mode="json", exclude={"shardset", "out"})
    losses = [[r.run_id, [e.loss_nats for e in r.evaluation.values()]] for r in records]
    whole = [settings, losses, law, bootstrap, seed, versions()["mixscale"]]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _current(experiment: Experiment, domains: Sequence[str], available: dict[str, int]) -> Floats:
    """(domains,) the mixture the design starts from."""
    design = experiment.design
    base: BaseMixture = "uniform"
    if isinstance(design, DdoDesign):
        base = design.base
    elif isinstance(design, SwarmDesign):
        base = design.prior
    return shares_of(base, domains, available)


def _some(names: Sequence[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
