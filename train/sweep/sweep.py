"""The runs of an experiment that are still missing, run until none is."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import read_experiment
from mixscale.contracts.run_record import (
    ENDED,
    RESULT,
    RunRecord,
    read_record,
    run_folder,
    write_record,
)
from mixscale.contracts.sweep_record import SweepRecord, write_sweep
from mixscale.train.evaluate.task_request import was_asked
from mixscale.train.executors.job import Job
from mixscale.train.executors.local import runs_on_a_device
from mixscale.train.executors.progress import JobProgress
from mixscale.train.executors.registry import find_executor
from mixscale.train.run.checks import check_run
from mixscale.train.run.gpus import visible_gpus
from mixscale.train.run.memory import check_fits, format_bytes, parts
from mixscale.train.run.run_id import find_shardset
from mixscale.train.sweep.preflight import check_before_start
from mixscale.train.sweep.runs import PlannedRun, runs_by_id
from mixscale.train.sweep.schedule import best_order
from mixscale.train.sweep.tasks import AskedTasks, tasks_of


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What a sweep left."""

    out: Path
    records: Sequence[RunRecord]
    """Of all runs, in the order of the plan."""
    skipped: int
    """Runs whose record existed before."""
    not_asked: Mapping[str, str] = field(default_factory=dict)
    """Runs that were trained but not asked their tasks, with the reason."""

    @property
    def states(self) -> Counter[str]:
        """How many runs ended how."""
        return Counter(record.status for record in self.records)

    @property
    def is_complete(self) -> bool:
        """Whether every run has finished."""
        return set(self.states) <= {"finished"} and not self.not_asked

    def as_json(self) -> dict[str, Any]:
        """Write the result as plain values."""
        return {
            "out": str(self.out),
            "states": dict(self.states),
            "skipped": self.skipped,
            "not_asked": dict(self.not_asked),
            "runs": [record.model_dump(mode="json") for record in self.records],
        }


def sweep(
    experiment_yaml: str | Path,
    *,
    workers: int | None = None,
    retries: int = 1,
    report: Callable[[str], None] = print,
    executor: str = "local",
    gpus_per_run: float | None = None,
    ignore_memory: bool = False,
) -> SweepResult:
    """Run what is missing of an experiment.

    Args:
        experiment_yaml: The experiment.
        workers: Runs at a time; by default one for each GPU, or each core without one.
        retries: How often a run that dies without a record is started again.
        report: Gets one line for each run that ends, and for what else is worth knowing.
        executor: Where the runs are done: a name in `train/executors/registry.py`.
        gpus_per_run: Share of a GPU that a run gets; 0 trains on the processor.
        ignore_memory: Start runs that need more memory than there is, too.

    Raises:
        UserError: The experiment or the shard set is wrong, the runs cannot fit into the memory, or
            another process runs this sweep.
    """
    experiment = read_experiment(experiment_yaml)
    runs = runs_by_id(experiment)
    gpus = None if executor == "ray" else 0 if gpus_per_run == 0 else visible_gpus()
    for run in runs.values():
        check_run(run.config, gpus)
    out = Path(experiment.out or experiment.shardset)
    asked = tasks_of(experiment)
    missing = [run for name, run in runs.items() if not is_done(out, name, asked)]
    found = check_before_start(missing, gpus)
    for warning in (*found.warnings, *(asked.warnings if asked else ())):
        report(f"warning: {warning}")
    if executor == "local" and not ignore_memory:
        at_a_time = runs_on_a_device(workers, max(len(missing), 1), gpus_per_run)
        for need in found.memory:
            check_fits(need, at_a_time)
    if executor == "ray":
        for need in found.memory:
            report(
                f"memory: a run needs about {format_bytes(need.run)} on a processor in fp32 "
                f"({parts(need)}); it is not held against the machines of the cluster, so take "
                "--workers and --gpus-per-run to suit them"
            )
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
                asked=asked,
            )
    except Timeout:
        raise UserError(
            f"{out}: sweep {experiment.name!r} is already running in another process; wait for it "
            "or stop it"
        ) from None


def run_missing(
    runs: Mapping[str, PlannedRun],
    out: Path,
    *,
    workers: int | None,
    retries: int,
    report: Callable[[str], None],
    executor: str = "local",
    gpus_per_run: float | None = None,
    asked: AskedTasks | None = None,
) -> SweepResult:
    """Run those of some runs that have no record yet, or lack results of the tasks `asked`.

    The other arguments are those of `sweep`.
    """
    chosen = find_executor(executor)
    done = {name for name in runs if is_done(out, name, asked)}
    jobs = [
        Job(
            name=name,
            config=run.config,
            folder=run_folder(out, name),
            purpose=run.purpose,
            tokens=run.tokens,
            tasks=asked.request if asked else None,
        )
        for name, run in runs.items()
        if name not in done
    ]
    if done:
        report(f"{len(done)} of {len(runs)} runs have their record already")
    places = chosen.runs_at_a_time(workers, max(len(jobs), 1), gpus_per_run)
    order = best_order([runs[job.name].cost for job in jobs], places)
    jobs = [jobs[position] for position in order]
    tokens = {job.name: job.tokens for job in jobs}
    with JobProgress(tokens, report, lambda name: _ending(out, name)) as progress:
        died = chosen.run_jobs(
            jobs,
            workers=workers,
            retries=retries,
            progress=progress,
            gpus_per_run=gpus_per_run,
        )
    not_asked = {name: reason for name, reason in died.items() if is_done(out, name)}
    for name, reason in died.items():
        if name not in not_asked:
            write_record(run_folder(out, name), _died(name, runs[name], reason))
    return SweepResult(
        out=out,
        records=[read_record(run_folder(out, name) / RESULT) for name in runs],
        skipped=len(done),
        not_asked=not_asked,
    )


def is_done(out: Path, run_id: str, asked: AskedTasks | None = None) -> bool:
    """Whether a run needs no further try: what died or lacked memory or data does.

    Args:
        out: Folder with `runs/`.
        run_id: The run.
        asked: Tasks whose results a finished run must have, too.
    """
    path = run_folder(out, run_id) / RESULT
    if not path.is_file():
        return False
    record = read_record(path)
    if record.status != "finished" or asked is None:
        return record.status in ENDED
    return was_asked(record, asked.settings)


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
        parameters=None,
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
        **run.purpose,
    )
