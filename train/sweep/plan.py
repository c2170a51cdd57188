"""What a sweep will cost, before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixscale.contracts.experiment import read_experiment
from mixscale.contracts.shardset import ShardSet, read_shardset
from mixscale.train.executors.local import devices_in_use, runs_at_a_time, runs_on_a_device
from mixscale.train.run.checks import check_run
from mixscale.train.run.gpus import visible_gpus
from mixscale.train.run.memory import MemoryNeed, too_much
from mixscale.train.sweep.calibration import Calibration, calibrate
from mixscale.train.sweep.pools import supply_tokens
from mixscale.train.sweep.preflight import check_before_start
from mixscale.train.sweep.runs import PlannedRun, runs_by_id
from mixscale.train.sweep.schedule import best_order, end_of
from mixscale.train.sweep.sweep import is_done
from mixscale.train.sweep.tasks import tasks_of


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One planned run."""

    run_id: str
    model: str | None
    """Its name in `models`; None for an experiment without."""
    role: str
    domain: str | None
    factor: float
    scale_tokens: int
    seed: int
    tokens: int
    tokens_by_domain: dict[str, int]
    pool_tokens: dict[str, int]
    """Of each domain, what the run may see."""
    epochs_by_domain: dict[str, float]
    """Of the pools."""
    target_epochs_by_domain: dict[str, float]
    """Of the text, in a run that takes `target_tokens / scale_tokens` as much of each domain."""
    is_done: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All runs of an experiment with what they need."""

    experiment: str
    out: Path
    rows: Sequence[PlanRow]
    available_tokens: dict[str, int]
    """For training, by domain."""
    max_proxy_epochs: float | None
    """None where proxies repeat as the target does."""
    target_tokens: int
    """Token budget of the target that the proxies are compared with."""
    evaluation_tokens: int
    """Of each run, all validation domains and evaluations together."""
    workers: int
    """Runs at a time."""
    devices: int
    """GPUs in use; 1 on a machine without."""
    calibration: Calibration | None
    """Of the first model that is to be run; None when not asked for."""
    price_per_hour: float | None
    """Of a device."""
    tasks: Mapping[str, int] = field(default_factory=dict)
    """Items of each task that a run is asked at its end; their time is in no estimate."""
    warnings: Sequence[str] = ()
    memory: Sequence[MemoryNeed] = ()
    """Of a run of each model that is to be done; without those that cannot be traced."""
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    """Of each size in `models` that is to be run."""
    runs_on_a_device: int = 1
    """Runs at a time that share the memory of a GPU, or of the machine without one."""

    @property
    def missing(self) -> list[PlanRow]:
        """The runs that are to be done."""
        return [row for row in self.rows if not row.is_done]

    @property
    def missing_tokens(self) -> int:
        """Training tokens of the runs that are to be done."""
        return sum(row.tokens for row in self.missing)

    @property
    def seconds(self) -> float | None:
        """Estimated time for what is to be done."""
        speed = self.calibration
        if speed is None:
            return None
        if not self.missing:
            return 0.0
        durations = self._durations(self.missing)
        order = best_order(durations, self.workers)
        ends = end_of([durations[position] for position in order], self.workers)
        return speed.prepare_seconds + ends

    def _durations(self, rows: Sequence[PlanRow]) -> list[float]:
        """(rows,) seconds of each."""
        first = self.calibration
        assert first is not None
        speeds = [self.calibrations.get(str(row.model), first) for row in rows]
        return [
            speed.run_seconds(row.tokens, self.evaluation_tokens)
            for speed, row in zip(speeds, rows, strict=True)
        ]

    @property
    def device_hours_by_model(self) -> dict[str, float]:
        """Estimated hours of a device for the runs of each size, one after another."""
        return {
            name: sum(self._durations(rows)) / 3600 * self.devices / self.workers
            for name in self.calibrations
            if (rows := [row for row in self.missing if row.model == name])
        }

    @property
    def device_hours(self) -> float | None:
        """Estimated hours of all devices together."""
        return None if self.seconds is None else self.seconds / 3600 * self.devices

    @property
    def cost(self) -> float | None:
        """Estimated price, in the unit of `price_per_hour`."""
        if self.device_hours is None or self.price_per_hour is None:
            return None
        return self.device_hours * self.price_per_hour

    def as_json(self) -> dict[str, Any]:
        """Write the plan as plain values."""
        return {
            "experiment": self.experiment,
            "out": str(self.out),
            "runs": [vars(row) for row in self.rows],
            "available_tokens": self.available_tokens,
            "target_tokens": self.target_tokens,
            "missing_tokens": self.missing_tokens,
            "evaluation_tokens_per_run": self.evaluation_tokens,
            "tasks": dict(self.tasks),
            "workers": self.workers,
            "devices": self.devices,
            "calibration": asdict(self.calibration) if self.calibration else None,
            "calibrations": {name: asdict(speed) for name, speed in self.calibrations.items()},
            "device_hours_by_model": self.device_hours_by_model,
            "seconds": self.seconds,
            "device_hours": self.device_hours,
            "price_per_hour": self.price_per_hour,
            "cost": self.cost,
            "warnings": list(self.warnings),
            "memory": [
                asdict(need) | {"run": need.run, "together": need.together(self.runs_on_a_device)}
                for need in self.memory
            ],
            "runs_on_a_device": self.runs_on_a_device,
        }


def plan(
    experiment_yaml: str | Path,
    *,
    workers: int | None = None,
    measure: bool = True,
    price_per_hour: float | None = None,
    gpus_per_run: float | None = None,
    ignore_memory: bool = False,
) -> Plan:
    """List the runs of an experiment, what they need and how long they take.

    Args:
        experiment_yaml: The experiment.
        workers: Runs at a time; by default as many as a sweep has on this machine.
        measure: Train short runs, about half a minute in all, to know the speed.
        price_per_hour: Of a device, a GPU or a machine without one; that of the experiment when
            absent.
        gpus_per_run: Share of a GPU that a run gets, as for a sweep.
        ignore_memory: Measure runs that cannot fit into the memory, too.

    Raises:
        UserError: The experiment asks for more than the shard set has, or its runs do not work.
    """
    experiment = read_experiment(experiment_yaml)
    shardset = read_shardset(experiment.shardset)
    out = Path(experiment.out or experiment.shardset)
    runs = runs_by_id(experiment)
    gpus = 0 if gpus_per_run == 0 else visible_gpus()
    for run in runs.values():
        check_run(run.config, gpus)
    asked = tasks_of(experiment)
    repeated = experiment.repeated_tokens
    target = repeated or max(target.tokens for target in experiment.targets)
    rows = [
        _row(name, run, shardset, target, is_done(out, name, asked)) for name, run in runs.items()
    ]
    longest = max(runs.values(), key=lambda run: run.tokens)
    missing = sum(not row.is_done for row in rows)
    found = check_before_start([runs[row.run_id] for row in rows if not row.is_done], gpus)
    workers = runs_at_a_time(workers, max(missing, 1), gpus_per_run)
    on_a_device = runs_on_a_device(workers, max(missing, 1), gpus_per_run)
    lacking = [
        f"{too_much(need, on_a_device)}. A sweep refuses this without --ignore-memory"
        for need in found.memory
        if not need.can_fit(on_a_device)
    ]
    measure = measure and bool(missing) and (ignore_memory or not lacking)
    to_do = [runs[row.run_id] for row in rows if not row.is_done] if measure else []
    measured = {
        size: calibrate(_longest(to_do, size).config, workers, gpus_per_run)
        for size in dict.fromkeys(run.size for run in to_do)
    }
    return Plan(
        experiment=experiment.name,
        out=out,
        rows=rows,
        available_tokens={name: shardset.train_tokens(name) for name in shardset.domain_names},
        max_proxy_epochs=experiment.max_proxy_epochs if repeated is None else None,
        target_tokens=target,
        evaluation_tokens=longest.evaluation_tokens * experiment.evaluation.points,
        workers=workers,
        devices=devices_in_use(workers, gpus_per_run),
        calibration=next(iter(measured.values()), None),
        calibrations={size: speed for size, speed in measured.items() if size is not None},
        price_per_hour=price_per_hour or experiment.price_per_hour,
        warnings=[*found.warnings, *(asked.warnings if asked else ()), *lacking],
        tasks=asked.items if asked else {},
        memory=found.memory,
        runs_on_a_device=on_a_device,
    )


def _longest(runs: Sequence[PlannedRun], size: str | None) -> PlannedRun:
    return max((run for run in runs if run.size == size), key=lambda run: run.tokens)


def _row(
    run_id: str, run: PlannedRun, shardset: ShardSet, target_tokens: int, is_done: bool
) -> PlanRow:
    length, scale = shardset.sequence_length, run.point.scale_tokens
    tokens = {domain: count * length for domain, count in run.samples.items()}
    pools = supply_tokens(run.pools, shardset)
    return PlanRow(
        run_id=run_id,
        model=run.size,
        role=run.point.mixture or run.point.role,
        domain=run.point.domain,
        factor=run.point.factor,
        scale_tokens=run.point.scale_tokens,
        seed=run.seed,
        tokens=run.tokens,
        tokens_by_domain=tokens,
        pool_tokens=pools,
        epochs_by_domain={domain: count / pools[domain] for domain, count in tokens.items()},
        target_epochs_by_domain={
            domain: count * target_tokens / scale / shardset.train_tokens(domain)
            for domain, count in tokens.items()
        },
        is_done=is_done,
    )
