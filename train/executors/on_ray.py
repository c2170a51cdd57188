"""Training runs on a Ray cluster, each in a fresh process on some machine of it."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mixscale.contracts.errors import UserError
from mixscale.runtime.ray_connection import connected
from mixscale.runtime.ray_machines import machine_requirements, refresh_folder
from mixscale.runtime.ray_tasks import Lost, TaskPool
from mixscale.train.executors.job import Job, check_gpus_per_run
from mixscale.train.executors.process import Refused, fork_server, start
from mixscale.train.executors.progress import JobProgress

_PACKAGES = "mixscale", "mosaicml", "mosaicml-streaming", "numpy", "torch", "transformers"
"""Another version of these might compute other bits."""
_PRECISION = 10_000
"""Ray counts GPUs in ten-thousandths."""


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int | None,
    retries: int,
    progress: JobProgress,
    gpus_per_run: float | None = None,
) -> dict[str, str]:
    """Run all jobs on the cluster of RAY_ADDRESS or `ray start`, or on this machine without one.

    A run that is lost with its machine starts again on another one, and goes on from its last
    checkpoint if it keeps any. That does not count as one of its `retries`.

    Args:
        jobs: The runs; their folders must lie where all machines see them.
        workers: Runs at a time; as many as fit into the cluster by default.
        retries: How often a run that dies without a record is started again.
        progress: Shows what happens.
        gpus_per_run: Share of a GPU that a run gets. By default the GPUs are shared out among
            `workers`, at most one to a run; a cluster without GPUs trains on its cores.

    Returns:
        The jobs that left no record, with the reason.

    Raises:
        UserError: There is no Ray; the cluster lacks GPUs; a machine does not see the folders;
            what the runs share is wrong, as the first that ended says.
    """
    if not jobs:
        return {}
    if workers is not None and workers < 1:
        raise UserError(f"workers: {workers}; expected at least 1")
    with connected(), machine_requirements(jobs[0].folder.parent, _PACKAGES) as requirements:
        gpus = _gpus_per_run(gpus_per_run, workers)
        with TaskPool(requirements, _attempt, workers, gpus) as pool:
            return _Jobs(retries=retries, progress=progress, waiting=deque(jobs)).run(pool)


def _gpus_per_run(wanted: float | None, workers: int | None) -> float:
    """Choose the share of a GPU that each run gets; 0 is a run on one core."""
    import ray

    gpus = ray.cluster_resources().get("GPU", 0.0)
    if wanted is None:
        wanted = min(gpus, 1.0) if workers is None else min(gpus / workers, 1.0)
    check_gpus_per_run(wanted, gpus)
    return int(wanted * _PRECISION) / _PRECISION


def _attempt(job: Job) -> Iterator[int | str | None]:
    """Train one run; yields the tokens done, 0 at the start, and last why it left no record."""
    yield 0
    # The fork server may be older than Ray's choice of a GPU for this run.
    chosen = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
    running = start(fork_server(), job, 0, 1, chosen)
    try:
        while True:
            yield running.messages.recv()
    except EOFError:
        yield running.failure()
    finally:
        running.process.kill()


@dataclass(kw_only=True)
class _Jobs:
    """The runs that the cluster has, or that wait for it."""

    retries: int
    progress: JobProgress
    waiting: deque[Job]
    started: set[str] = field(default_factory=set)
    tries: Counter[str] = field(default_factory=Counter)
    died: dict[str, str] = field(default_factory=dict)
    has_finished: bool = False

    def run(self, pool: TaskPool) -> dict[str, str]:
        """Run all jobs; return those that left no record, with the reason."""
        jobs = {job.name: job for job in self.waiting}
        while self.waiting or not pool.is_idle:
            while self.waiting and pool.has_capacity:
                job = self.waiting.popleft()
                pool.submit(job.name, job)
            for name, message in pool.reports():
                self._receive(jobs[name], message)
        return self.died

    def _receive(self, job: Job, message: int | str | Lost | None) -> None:
        if job.name not in self.started:
            self.progress.start(job.name)
            self.started.add(job.name)
        if isinstance(message, int):
            self.progress.advance(job.name, message)
        elif isinstance(message, Lost):
            self._again(job, str(message))
        elif isinstance(message, Refused) and not self.has_finished:
            raise UserError(message)
        elif not isinstance(message, Refused | None) and self.tries[job.name] < self.retries:
            self.tries[job.name] += 1
            self._again(job, message)
        else:
            self._end(job, message)

    def _end(self, job: Job, reason: str | None) -> None:
        if reason is None:
            self.has_finished = True
            refresh_folder(job.folder)
        else:
            self.died[job.name] = reason
        self.progress.end(job.name, reason)

    def _again(self, job: Job, reason: str) -> None:
        self.progress.retry(job.name, reason)
        self.started.discard(job.name)
        self.waiting.appendleft(job)
