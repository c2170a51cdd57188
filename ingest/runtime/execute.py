"""Runs lists of independent tasks, here or in other processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Protocol, TypeVar

from mixscale.contracts.errors import UserError, unknown_name

Task = TypeVar("Task")
Result = TypeVar("Result")

_PRELOADED = (
    "mixscale.ingest.stages.write_documents",
    "mixscale.ingest.stages.read",
    "mixscale.shards.storage.mds",
    "gigatoken",
)


class Runner(Protocol):
    """Runs tasks; the results come in the order of the tasks."""

    def __call__(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        on_done: Callable[[Task, Result], None],
    ) -> list[Result]:
        """Run `function` on every task; `on_done` hears of each end, in any order."""
        ...


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def warm_up(executor: str, workers: int | None) -> None:
    """Let the workers of `open_runner` load what they need from now on, beside this process."""
    if executor == "local" and (workers or available_cores()) > 1:
        _context()


@contextmanager
def open_runner(executor: str, workers: int | None, folder: Path) -> Iterator[Runner]:
    """Start the workers and stop them at the end.

    Args:
        executor: A name of `RUNNERS`.
        workers: How many tasks run at once; as many as there are cores when not given.
        folder: Where the tasks write; several machines must share it.

    Raises:
        UserError: There is no such executor, or fewer than one worker.
    """
    if executor not in RUNNERS:
        raise unknown_name("executor", executor, RUNNERS)
    if workers is not None and workers < 1:
        raise UserError(f"workers: expected 1 or more, found {workers}")
    with RUNNERS[executor](workers, folder) as runner:
        yield runner


@contextmanager
def _ray(workers: int | None, folder: Path) -> Iterator[Runner]:
    from mixscale.ingest.runtime.on_ray import ray_runner

    with ray_runner(workers, folder) as run:
        yield run


@contextmanager
def _local(workers: int | None, folder: Path) -> Iterator[Runner]:
    del folder
    workers = workers or available_cores()
    if workers == 1:
        yield _run_here
        return
    with ProcessPoolExecutor(workers, _context(), initializer=_end_with_parent) as pool:
        yield _PoolRunner(pool)


def _end_with_parent() -> None:
    """See to it that a worker does not outlive a build that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _context() -> BaseContext:
    """Choose processes that do not inherit this one's threads, and start fast where they can."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOADED))
        # It loads them now, while this process prepares the work.
        forkserver.ensure_running()
        return context
    return multiprocessing.get_context("spawn")


def _run_here(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    on_done: Callable[[Task, Result], None],
) -> list[Result]:
    results = []
    for task in tasks:
        with explained():
            results.append(function(task))
        on_done(task, results[-1])
    return results


class _PoolRunner:
    """Runs tasks in a pool of processes."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    def __call__(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        on_done: Callable[[Task, Result], None],
    ) -> list[Result]:
        with explained():
            futures: dict[Future[Result], Task] = {}
            try:
                for task in tasks:
                    futures[self._pool.submit(function, task)] = task
                for future in as_completed(futures):
                    on_done(futures[future], future.result())
            finally:
                for future in futures:
                    future.cancel()
        return [future.result() for future in futures]


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the machine lacks into advice."""
    try:
        yield
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, probably for want of memory; nothing is lost: "
            "the same command goes on where it stopped (use fewer --workers if it happens again)"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise UserError(
            f"cannot write on: {error.strerror or error}; make room and run the same command: "
            "it goes on where it stopped"
        ) from error


RUNNERS = {"local": _local, "ray": _ray}
