"""Training runs in processes of this machine, one fresh process for each run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from contracts.errors import UserError
from train.config import RunConfig
from train.progress import SweepProgress

LOG = "log.txt"
_PRELOAD = ["train.forkserver"]


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
class _Running:
    job: Job
    slot: int
    process: BaseProcess
    messages: Connection


def run_jobs(
    jobs: Sequence[Job], *, workers: int | None, retries: int, progress: SweepProgress
) -> dict[str, str]:
    """Run all jobs, several at a time, each in its own process.

    A run that dies (killed, out of memory, an error) does not touch the others. The processes come
    from a fork server that has loaded Composer once (train/forkserver.py): a run starts in a
    fraction of a second.

    Returns:
        The jobs that left no record, with the reason.
    """
    if not jobs:
        return {}
    slots = _slots(workers, len(jobs))
    context = _fork_server()
    waiting = deque((job, 0) for job in jobs)
    free = deque(slots)
    running: dict[str, _Running] = {}
    tries: dict[str, int] = {}
    died: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and free:
                job, attempt = waiting.popleft()
                tries[job.name] = attempt
                running[job.name] = _start(context, job, free.popleft(), len(slots))
                progress.start(job.name)
            for name in _ended(running, progress):
                ended = running.pop(name)
                free.append(ended.slot)
                reason = _reason(ended)
                if reason is not None and tries[name] < retries:
                    progress.retry(name, reason)
                    waiting.append((ended.job, tries[name] + 1))
                    continue
                progress.end(name, reason)
                if reason is not None:
                    died[name] = reason
    finally:
        for left in running.values():
            left.process.terminate()
        for left in running.values():
            left.process.join()
    return died


def _fork_server() -> ForkServerContext:
    """Get the fork server that has loaded Composer."""
    # A process has one fork server. One that a build has started before lacks Composer, and every
    # run would load it anew; Python offers no public way to replace it.
    server: Any = forkserver._forkserver  # pyright: ignore[reportAttributeAccessIssue]
    if server._preload_modules != _PRELOAD:
        server._stop()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def _slots(workers: int | None, jobs: int) -> list[int]:
    if workers is None:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        count = len(gpus.split(",")) if gpus else _gpu_count()
        workers = count or len(os.sched_getaffinity(0))
    if workers < 1:
        raise UserError(f"workers: {workers}; expected at least 1")
    return list(range(min(workers, jobs)))


def _gpu_count() -> int:
    """Count GPUs without importing torch, which would slow down the start."""
    return sum(1 for path in Path("/dev").glob("nvidia[0-9]*"))


def _start(context: ForkServerContext, job: Job, slot: int, slots: int) -> _Running:
    ours, theirs = Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, slot, slots, theirs))
    process.start()
    # Only the child may hold this end: its death then closes the pipe.
    theirs.close()
    return _Running(job=job, slot=slot, process=process, messages=ours)


def _work(job: Job, slot: int, slots: int, messages: Connection) -> None:
    """Train in the new process. Only there: loading Composer would hold up the sweep itself."""
    from train.worker import work

    work(job, slot, slots, messages)


def _ended(running: dict[str, _Running], progress: SweepProgress) -> list[str]:
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


def _reason(ended: _Running) -> str | None:
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
