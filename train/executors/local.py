"""Training runs in processes of this machine, one fresh process for each run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.sweep.progress import SweepProgress

LOG = "log.txt"
_PRELOAD = ["mixscale.train.executors.preload"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to do."""

    name: str
    config: RunConfig
    folder: Path
    """Gets the record, and what the run prints."""
    identity: dict[str, Any]
    tokens: int
    """For the progress bar, and to start long runs first."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A run and its process."""

    job: Job
    slot: int
    process: BaseProcess
    messages: Connection
    """Brings the tokens done, and ends with the process."""


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int | None,
    retries: int,
    progress: SweepProgress,
    gpus_per_run: float | None = None,
) -> dict[str, str]:
    """Run all jobs, several at a time, each in its own process.

    A run that dies (killed, out of memory, an error) does not touch the others. The processes come
    from a fork server that has loaded Composer once (train/executors/preload.py): a run starts in a
    fraction of a second.

    Returns:
        The jobs that left no record, with the reason.
    """
    if not jobs:
        return {}
    count, _ = room(workers, len(jobs), gpus_per_run)
    context = fork_server()
    environment = {"CUDA_VISIBLE_DEVICES": ""} if gpus_per_run == 0 else {}
    waiting = deque((job, 0) for job in jobs)
    free = deque(range(count))
    running: dict[str, Running] = {}
    tries: dict[str, int] = {}
    died: dict[str, str] = {}
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
                why = reason(ended)
                if why is not None and tries[name] < retries:
                    progress.retry(name, why)
                    waiting.append((ended.job, tries[name] + 1))
                    continue
                progress.end(name, why)
                if why is not None:
                    died[name] = why
    finally:
        for left in running.values():
            left.process.terminate()
        for left in running.values():
            left.process.join()
    return died


def fork_server() -> ForkServerContext:
    """Get the fork server that has loaded Composer."""
    # A process has one fork server. One that a build has started before lacks Composer, and every
    # run would load it anew; Python offers no public way to replace it.
    server: Any = forkserver._forkserver  # pyright: ignore[reportAttributeAccessIssue]
    if server._preload_modules != _PRELOAD:
        server._stop()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def room(workers: int | None, jobs: int, gpus_per_run: float | None = None) -> tuple[int, int]:
    """Say how many runs this machine does at a time.

    Args:
        workers: What the user wants; by default one for each share of a GPU, or each core.
        jobs: Runs there are to do.
        gpus_per_run: Share of a GPU for each.

    Returns:
        Runs at a time; devices they use: GPUs, or the machine itself.

    Raises:
        UserError: The machine cannot.
    """
    gpus = 0 if gpus_per_run == 0 else _gpu_count()
    if gpus_per_run is not None:
        check_gpus_per_run(gpus_per_run, gpus)
    if workers is None:
        workers = int(gpus / (gpus_per_run or 1)) or len(os.sched_getaffinity(0))
    if workers < 1:
        raise UserError(f"workers: {workers}; expected at least 1")
    count = min(workers, jobs)
    return count, min(gpus, count) or 1


def check_gpus_per_run(share: float, gpus: float) -> None:
    """Refuse a share of a GPU that a run cannot get.

    Raises:
        UserError: It is no share, or there is no GPU.
    """
    if not 0 <= share <= 1:
        raise UserError(f"gpus_per_run: {share}; expected a share of one GPU, from 0 to 1")
    if share and not gpus:
        raise UserError(f"gpus_per_run: {share}, but there is no GPU; 0 trains on the processor")


def _gpu_count() -> int:
    """Count GPUs without importing torch, which would slow down the start."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len(visible.split(",")) if visible else 0
    return sum(1 for path in Path("/dev").glob("nvidia[0-9]*"))


def start(
    context: ForkServerContext, job: Job, slot: int, slots: int, environment: Mapping[str, str]
) -> Running:
    """Start a run in a fresh process.

    Args:
        context: From `fork_server`.
        job: The run.
        slot: Which share of the machine it may use.
        slots: How many shares there are.
        environment: Variables for the new process, which otherwise has those of the fork server.
    """
    ours, theirs = Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, slot, slots, theirs, environment))
    process.start()
    # Only the child may hold this end: its death then closes the pipe.
    theirs.close()
    return Running(job=job, slot=slot, process=process, messages=ours)


def _work(
    job: Job, slot: int, slots: int, messages: Connection, environment: Mapping[str, str]
) -> None:
    """Train in the new process. Only there: loading Composer would hold up the sweep itself."""
    os.environ.update(environment)
    from mixscale.train.executors.worker import work

    work(job, slot, slots, messages)


def _ended(running: dict[str, Running], progress: SweepProgress) -> list[str]:
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


def reason(ended: Running) -> str | None:
    """Say why a run left no record; None when it did."""
    ended.process.join()
    code = ended.process.exitcode
    if code == 0:
        return None
    log = ended.job.folder / LOG
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}; see {log}"
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return f"{lines[-1]}; see {log}"
    return f"exit status {code}; see {log}"
