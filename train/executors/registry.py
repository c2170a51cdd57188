"""The executors that a sweep can choose from, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mixscale.contracts.errors import unknown_name
from mixscale.train.executors import local, on_ray
from mixscale.train.executors.job import Job
from mixscale.train.executors.progress import JobProgress


class RunJobs(Protocol):
    """Runs all jobs; returns those that left no record, with the reason."""

    def __call__(
        self,
        jobs: Sequence[Job],
        *,
        workers: int | None,
        retries: int,
        progress: JobProgress,
        gpus_per_run: float | None = None,
    ) -> dict[str, str]:
        """Run all jobs."""
        ...


@dataclass(frozen=True, kw_only=True)
class Executor:
    """A place where runs are done."""

    run_jobs: RunJobs
    runs_at_a_time: Callable[[int | None, int, float | None], int]
    """From `workers`, the number of jobs and `gpus_per_run`: how many runs go side by side; 1 where
    that is not known beforehand. The order in which runs start rests on it."""


EXECUTORS: Mapping[str, Executor] = {
    "local": Executor(run_jobs=local.run_jobs, runs_at_a_time=local.runs_at_a_time),
    "ray": Executor(run_jobs=on_ray.run_jobs, runs_at_a_time=lambda workers, jobs, gpus: 1),
}


def find_executor(name: str) -> Executor:
    """Look up an executor.

    Raises:
        UserError: There is none of that name.
    """
    if name not in EXECUTORS:
        raise unknown_name("executor", name, EXECUTORS)
    return EXECUTORS[name]
