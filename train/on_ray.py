"""Training runs on a Ray cluster, each in a fresh process on some machine of it."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.cluster import Common, Losses, Lost, connected, fetch, in_common, look_again, room
from contracts.errors import UserError
from train.local import Job, check_gpus_per_run, fork_server, reason, start
from train.progress import SweepProgress

_PACKAGES = "mixscale", "mosaicml", "mosaicml-streaming", "numpy", "torch", "transformers"
"""Another version of these might compute other bits."""
_PRECISION = 10_000
"""Ray counts GPUs in ten-thousandths."""


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int | None,
    retries: int,
    progress: SweepProgress,
    gpus_per_run: float | None = None,
) -> dict[str, str]:
    """Run all jobs on the cluster of RAY_ADDRESS or `ray start`, or on this machine without one.

    A run that is lost with its machine starts again on another one, and goes on from its last
    checkpoint if it keeps any. That does not count as one of its `retries`.

    Args:
        jobs: The runs; their folders must lie where all machines see them.
        workers: Runs at a time; as many as have room in the cluster by default.
        retries: How often a run that dies without a record is started again.
        progress: Shows what happens.
        gpus_per_run: Share of a GPU that a run gets. By default the GPUs are shared out among
            `workers`, at most one to a run; a cluster without GPUs trains on its cores.

    Returns:
        The jobs that left no record, with the reason.

    Raises:
        UserError: There is no Ray; the cluster lacks GPUs; a machine does not see the folders.
    """
    if not jobs:
        return {}
    if workers is not None and workers < 1:
        raise UserError(f"workers: {workers}; expected at least 1")
    with connected(), in_common(jobs[0].folder.parent, _PACKAGES) as common:
        gpus = _gpus_per_run(gpus_per_run, workers)
        sweep = _Sweep(common=common, retries=retries, progress=progress, gpus=gpus)
        return sweep.run(jobs, workers)


def _gpus_per_run(wanted: float | None, workers: int | None) -> float:
    """Choose the share of a GPU that each run gets; 0 is a run on one core."""
    import ray

    gpus = ray.cluster_resources().get("GPU", 0.0)
    if wanted is None:
        wanted = min(gpus, 1.0) if workers is None else min(gpus / workers, 1.0)
    check_gpus_per_run(wanted, gpus)
    return int(wanted * _PRECISION) / _PRECISION


def _attempt(common: Common, job: Job) -> Iterator[int | str | None]:
    """Train one run; yields tokens done, 0 at the start, and last why it left no record."""
    common.check()
    yield 0
    # The fork server may be older than Ray's choice of a GPU for this run.
    chosen = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "")}
    running = start(fork_server(), job, 0, 1, chosen)
    try:
        while True:
            yield running.messages.recv()
    except EOFError:
        yield reason(running)
    finally:
        running.process.kill()


@dataclass(kw_only=True)
class _Sweep:
    """The runs that are with the cluster, or waiting for it."""

    common: Common
    retries: int
    progress: SweepProgress
    gpus: float
    waiting: deque[Job] = field(default_factory=deque)
    running: dict[Any, Job] = field(default_factory=dict)
    """By the stream of what the run says."""
    shown: set[str] = field(default_factory=set)
    tries: Counter[str] = field(default_factory=Counter)
    losses: Losses = field(default_factory=Losses)
    died: dict[str, str] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job], workers: int | None) -> dict[str, str]:
        """Run all jobs; return those that left no record, with the reason."""
        import ray

        # Ray's own retries would be silent, and without end for a run that eats all memory.
        remote = ray.remote(
            num_cpus=1, num_gpus=self.gpus, max_retries=0, scheduling_strategy="SPREAD"
        )(_attempt)
        share = ("GPU", self.gpus) if self.gpus else ("CPU", 1.0)
        self.waiting.extend(jobs)
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < room(workers, *share):
                    job = self.waiting.popleft()
                    self.running[remote.remote(self.common, job)] = job
                for stream in ray.wait(list(self.running))[0]:
                    self._hear(stream)
        finally:
            for stream in self.running:
                ray.cancel(stream, force=True)
        return self.died

    def _hear(self, stream: Any) -> None:
        """Take in the next thing that a run says."""
        job = self.running[stream]
        try:
            word = fetch(next(stream))
        except Lost as loss:
            del self.running[stream]
            self.losses.add(job.name, loss)
            self._again(job, str(loss))
            return
        if job.name not in self.shown:
            self.progress.start(job.name)
            self.shown.add(job.name)
        if isinstance(word, int):
            self.progress.advance(job.name, word)
            return
        del self.running[stream]
        self._end(job, word)

    def _end(self, job: Job, reason: str | None) -> None:
        if reason is not None and self.tries[job.name] < self.retries:
            self.tries[job.name] += 1
            self._again(job, reason)
            return
        if reason is None:
            look_again(job.folder)
        self.progress.end(job.name, reason)
        if reason is not None:
            self.died[job.name] = reason

    def _again(self, job: Job, reason: str) -> None:
        if job.name not in self.shown:
            self.progress.start(job.name)
        self.progress.retry(job.name, reason)
        self.shown.discard(job.name)
        self.waiting.appendleft(job)
