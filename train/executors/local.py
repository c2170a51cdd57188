"""Training runs in processes of this machine, several at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait

from mixscale.contracts.errors import UserError
from mixscale.train.executors.job import Job, check_gpus_per_run
from mixscale.train.executors.process import Refused, RunningJob, fork_server, start
from mixscale.train.executors.progress import JobProgress
from mixscale.train.run.gpus import visible_gpus


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int | None,
    retries: int,
    progress: JobProgress,
    gpus_per_run: float | None = None,
) -> dict[str, str]:
    """Run all jobs, several at a time, each in its own process.

    A run that dies (killed, out of memory, an error) does not touch the others. The processes come
    from a fork server that has loaded Composer once (train/executors/preload.py): a run starts in a
    fraction of a second.

    Returns:
        The jobs that left no record, with the reason.

    Raises:
        UserError: What the runs share is wrong: the first that ended was refused for its config.
    """
    if not jobs:
        return {}
    count = runs_at_a_time(workers, len(jobs), gpus_per_run)
    context = fork_server()
    environment = {"CUDA_VISIBLE_DEVICES": ""} if gpus_per_run == 0 else {}
    waiting = deque((job, 0) for job in jobs)
    free = deque(range(count))
    running: dict[str, RunningJob] = {}
    tries: dict[str, int] = {}
    died: dict[str, str] = {}
    has_finished = False
    try:
        while waiting or running:
            while waiting and free:
                job, attempt = waiting.popleft()
                tries[job.name] = attempt
                slot = free.popleft()
                running[job.name] = start(context, job, slot, count, environment)
                progress.start(job.name)
            for name in _ended(running, progress):
                ended = running.pop(name)
                free.append(ended.slot)
                failure = ended.failure()
                if isinstance(failure, Refused) and not has_finished:
                    raise UserError(failure)
                has_finished = has_finished or failure is None
                if not isinstance(failure, Refused | None) and tries[name] < retries:
                    progress.retry(name, failure)
                    waiting.append((ended.job, tries[name] + 1))
                    continue
                progress.end(name, failure)
                if failure is not None:
                    died[name] = failure
    finally:
        for left in running.values():
            left.process.terminate()
        for left in running.values():
            left.process.join()
    return died


def runs_at_a_time(workers: int | None, jobs: int, gpus_per_run: float | None = None) -> int:
    """Count the runs that this machine does side by side.

    Args:
        workers: What the user wants; by default one for each share of a GPU, or each core.
        jobs: Runs there are to do.
        gpus_per_run: Share of a GPU for each.

    Raises:
        UserError: The machine cannot.
    """
    gpus = _usable_gpus(gpus_per_run)
    if workers is None:
        workers = int(gpus / (gpus_per_run or 1)) or len(os.sched_getaffinity(0))
    if workers < 1:
        raise UserError(f"workers: {workers}; expected at least 1")
    return min(workers, jobs)


def devices_in_use(runs: int, gpus_per_run: float | None = None) -> int:
    """Count the GPUs that runs side by side use; 1, the machine itself, on one without."""
    return min(_usable_gpus(gpus_per_run), runs) or 1


def runs_on_a_device(workers: int | None, jobs: int, gpus_per_run: float | None = None) -> int:
    """Count the runs that share the memory of a GPU, or of the machine without one.

    Raises:
        UserError: As for `runs_at_a_time`.
    """
    runs = runs_at_a_time(workers, jobs, gpus_per_run)
    return -(-runs // devices_in_use(runs, gpus_per_run))


def _usable_gpus(gpus_per_run: float | None) -> int:
    gpus = 0 if gpus_per_run == 0 else visible_gpus()
    if gpus_per_run is not None:
        check_gpus_per_run(gpus_per_run, gpus)
    return gpus


def _ended(running: dict[str, RunningJob], progress: JobProgress) -> list[str]:
    """Pass on what the runs report; return those whose process has ended."""
    wait([item.messages for item in running.values()], timeout=1.0)
    ended = []
    for name, item in running.items():
        with contextlib.suppress(EOFError):
            while item.messages.poll():
                progress.advance(name, item.messages.recv())
        if not item.process.is_alive():
            ended.append(name)
    if not ended:
        time.sleep(0.02)
    return ended
