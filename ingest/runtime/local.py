"""Tasks of a build in processes of this machine."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path

from mixscale.ingest.runtime.failures import machine_failures_explained
from mixscale.ingest.runtime.runner import Result, Runner, Task
from mixscale.ingest.runtime.spare_pandas import spare_pandas
from mixscale.runtime.import_path import HELPERS_CAN_PRELOAD, same_import_path

_PRELOADED = (
    "mixscale.ingest.stages.write_documents",
    "mixscale.ingest.dedup.decide",
    "mixscale.ingest.stages.read",
    "mixscale.shards.storage.mds",
    "gigatoken",
    "tokenizers",
)


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def local_runner(workers: int | None, folder: Path, *, may_fork: bool = False) -> Iterator[Runner]:
    """Start worker processes; with one worker, run the tasks in this process.

    Args:
        workers: How many; one for each core when not given.
        folder: Of the shard set.
        may_fork: Whether workers may be copies of this process, which then has to load what they
            need once for all. They are made when the first tasks are given out.
    """
    del folder
    workers = workers or available_cores()
    if workers == 1:
        yield _run_here
        return
    # Another thread may hold a lock that no one would release in the copy.
    can_fork = may_fork and threading.active_count() == 1
    context = multiprocessing.get_context("fork") if can_fork else _fork_server()
    if can_fork:
        # Otherwise looking for garbage would give each copy a memory of its own.
        gc.freeze()
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        yield _PoolRunner(pool)


def _fork_server() -> ForkServerContext:
    """Start what makes worker processes: without this one's threads, yet fast."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED) if HELPERS_CAN_PRELOAD else [])
    with same_import_path():
        # It loads them now, while this process prepares the work.
        forkserver.ensure_running()
    return context


def _start_worker() -> None:
    _end_with_parent()
    spare_pandas()


def _end_with_parent() -> None:
    """See to it that a worker does not outlive a build that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run_here(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    on_done: Callable[[Task, Result], None],
) -> list[Result]:
    results = []
    for task in tasks:
        with machine_failures_explained():
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
        with machine_failures_explained():
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
