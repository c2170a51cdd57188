"""The runs of an experiment that are still missing, run until none is."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.table import Table

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError, unknown_name
from mixscale.contracts.experiment import Experiment, read_experiment
from mixscale.contracts.run_record import RESULT, RunRecord, read_record, run_folder, write_record
from mixscale.contracts.shardset import read_shardset
from mixscale.contracts.sweep_record import SweepRecord, write_sweep
from mixscale.train.executors import local, on_ray
from mixscale.train.executors.local import Job
from mixscale.train.run.identity import find_shardset, run_id
from mixscale.train.sweep.design import PlannedRun, plan_runs
from mixscale.train.sweep.progress import SweepProgress
from mixscale.train.sweep.schedule import best_order

_WIDE = 200
"""Characters of a line when there is no terminal."""
_OTHER_COLUMNS = 50
"""Characters of the columns beside run and domains."""


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What a sweep left."""

    out: Path
    records: Sequence[RunRecord]
    """Of all runs, in the order of the plan."""
    skipped: int
    """Runs whose record existed before."""

    @property
    def states(self) -> Counter[str]:
        """How many runs ended how."""
        return Counter(record.status for record in self.records)

    @property
    def is_complete(self) -> bool:
        """Whether every run has finished."""
        return set(self.states) <= {"finished"}

    def as_json(self) -> dict[str, Any]:
        """Write the result as plain values."""
        return {
            "out": str(self.out),
            "states": dict(self.states),
            "skipped": self.skipped,
            "runs": [record.model_dump(mode="json") for record in self.records],
        }

    def text(self) -> str:
        """Say how the sweep ended."""
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        lines = [
            f"{record.run_id}: {record.status}: {record.error}"
            for record in self.records
            if record.status != "finished"
        ]
        return "\n".join([*lines, f"{states}; records in {self.out / 'runs'}"])


def render(result: SweepResult, width: int | None = None) -> Table:
    """Draw the records of a sweep: a row for each run.

    Args:
        result: The sweep.
        width: Characters there are, by default those of the terminal. Without room for the losses
            of all domains their mean alone is shown.
    """
    domains = sorted({domain for record in result.records for domain in record.evaluation})
    labels = [_label(record) for record in result.records]
    console = Console()
    width = width or (console.width if console.is_terminal else _WIDE)
    needed = max(map(len, labels), default=0) + _OTHER_COLUMNS
    needed += sum(max(len(domain), 6) + 3 for domain in domains)
    shown = domains if needed <= width else []
    table = Table(title="validation loss, nats per token")
    table.add_column("run", overflow="fold")
    for column in ("tokens", "state", *shown, "mean", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for label, record in zip(labels, result.records, strict=True):
        losses = {domain: loss.loss_nats for domain, loss in record.evaluation.items()}
        table.add_row(
            label,
            format_tokens(record.seen_tokens),
            record.status,
            *(f"{losses[domain]:.4f}" if losses else "" for domain in shown),
            f"{sum(losses.values()) / len(losses):.4f}" if losses else "",
            f"{record.seconds:.0f}",
        )
    return table


def _label(record: RunRecord) -> str:
    """Shorten a run id by what all runs of the sweep share, and by its hash."""
    return record.run_id.removeprefix(f"{record.sweep}-").rpartition("-")[0] or record.run_id


def sweep(
    experiment_yaml: str | Path,
    *,
    workers: int | None = None,
    retries: int = 1,
    report: Callable[[str], None] = print,
    executor: str = "local",
    gpus_per_run: float | None = None,
) -> SweepResult:
    """Run what is missing of an experiment.

    Args:
        experiment_yaml: The experiment.
        workers: Runs at a time; by default one for each GPU, or each core without one.
        retries: How often a run that dies without a record is started again.
        report: Gets one line for each thing worth saying.
        executor: Where the runs are done: a name of `EXECUTORS`.
        gpus_per_run: Share of a GPU that a run gets; 0 trains on the processor.

    Raises:
        UserError: The experiment or the shard set is wrong, or another process runs this sweep.
    """
    experiment = read_experiment(experiment_yaml)
    runs = identified(experiment)
    out = Path(experiment.out or experiment.shardset)
    write_sweep(
        out,
        SweepRecord(
            name=experiment.name,
            experiment=experiment.model_dump(mode="json"),
            run_ids=tuple(runs),
        ),
    )
    try:
        with FileLock(out / "sweeps" / f".{experiment.name}.lock", timeout=0):
            return run_missing(
                runs,
                out,
                workers=workers,
                retries=retries,
                report=report,
                executor=executor,
                gpus_per_run=gpus_per_run,
            )
    except Timeout:
        raise UserError(
            f"{out}: sweep {experiment.name!r} is already running in another process; wait for it "
            "or stop it"
        ) from None


def identified(experiment: Experiment) -> dict[str, PlannedRun]:
    """List an experiment's runs by their run id, which depends on config and data."""
    shardset = read_shardset(experiment.shardset)
    runs = plan_runs(experiment, shardset)
    return {run_id(run.config, shardset.content_sha256, run.name): run for run in runs}


def run_missing(
    runs: Mapping[str, PlannedRun],
    out: Path,
    *,
    workers: int | None,
    retries: int,
    report: Callable[[str], None],
    executor: str = "local",
    gpus_per_run: float | None = None,
) -> SweepResult:
    """Run those of some runs that have no record yet; the arguments are those of `sweep`."""
    if executor not in EXECUTORS:
        raise unknown_name("executor", executor, EXECUTORS)
    over = {name for name in runs if is_over(out, name)}
    jobs = [
        Job(
            name=name,
            config=run.config,
            folder=run_folder(out, name),
            identity=run.identity,
            tokens=run.tokens,
        )
        for name, run in runs.items()
        if name not in over
    ]
    if over:
        report(f"{len(over)} of {len(runs)} runs have their record already")
    places = local.room(workers, max(len(jobs), 1), gpus_per_run)[0] if executor == "local" else 1
    order = best_order([runs[job.name].cost for job in jobs], places)
    jobs = [jobs[position] for position in order]
    tokens = {job.name: job.tokens for job in jobs}
    with SweepProgress(tokens, report, lambda name: _ending(out, name)) as progress:
        died = EXECUTORS[executor](
            jobs,
            workers=workers,
            retries=retries,
            progress=progress,
            gpus_per_run=gpus_per_run,
        )
    for name, reason in died.items():
        write_record(run_folder(out, name), _died(name, runs[name], reason))
    return SweepResult(
        out=out,
        records=[read_record(run_folder(out, name) / RESULT) for name in runs],
        skipped=len(over),
    )


def is_over(out: Path, run_id: str) -> bool:
    """Tell whether a run needs no further try: what died or lacked memory or data does."""
    path = run_folder(out, run_id) / RESULT
    return path.is_file() and read_record(path).status in ("finished", "diverged")


def _ending(out: Path, run_id: str) -> str:
    record = read_record(run_folder(out, run_id) / RESULT)
    return record.status if record.error is None else f"{record.status}: {record.error}"


def _died(name: str, run: PlannedRun, reason: str) -> RunRecord:
    """Make the record of a run that could not make its own."""
    shardset = find_shardset(run.config)
    return RunRecord(
        run_id=name,
        seed=run.seed,
        status="died",
        error=reason,
        parameters=0,
        token_budget=run.tokens,
        seen_tokens=0,
        domains={},
        seconds=0,
        train_seconds=0,
        tokens_per_second=0,
        device="",
        precision="",
        shardset_sha256=shardset.content_sha256 if shardset else "",
        versions={},
        started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        **run.identity,
    )


EXECUTORS = {"local": local.run_jobs, "ray": on_ray.run_jobs}
