"""Tasks of a build on a Ray cluster."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mixscale.contracts.atomic import TEMPORARY_PREFIX
from mixscale.ingest.readers.registry import outside_packages
from mixscale.ingest.runtime.failures import machine_failures_explained
from mixscale.ingest.runtime.runner import Result, Task
from mixscale.runtime.ray_connection import connected
from mixscale.runtime.ray_machines import Requirements, machine_requirements
from mixscale.runtime.ray_tasks import Lost, TaskPool

_PACKAGES = "mixscale", "gigatoken", "numpy", "orjson", "pyarrow", "tokenizers", "zstandard", "zstd"
"""Another version of these might write other bytes."""


@contextmanager
def ray_runner(workers: int | None, folder: Path, *, may_fork: bool = False) -> Iterator[RayRunner]:
    """Connect to a cluster and let it work in `folder`, which all its machines share.

    Args:
        workers: How many tasks are given out at once; enough to keep the cluster busy by default.
        folder: Of the shard set.
        may_fork: Means nothing here.

    Raises:
        UserError: There is no Ray to connect to.
    """
    del may_fork
    packages = (*_PACKAGES, *outside_packages())
    with connected(workers), machine_requirements(folder, packages) as requirements:
        yield RayRunner(requirements, workers)


class RayRunner:
    """Runs tasks on a Ray cluster; those that are lost with a machine run again."""

    def __init__(self, requirements: Requirements, workers: int | None) -> None:
        self._requirements = requirements
        self._workers = workers

    def __call__(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        on_done: Callable[[Task, Result], None],
    ) -> list[Result]:
        """Run `function` on every task; `on_done` gets each as it ends, in any order."""
        waiting = deque(range(len(tasks)))
        results: dict[int, Result] = {}
        pool = TaskPool(self._requirements, partial(_once, function), self._workers)
        with machine_failures_explained(), pool:
            while waiting or not pool.is_idle:
                while waiting and pool.has_capacity:
                    number = waiting.popleft()
                    pool.submit(number, tasks[number])
                for number, result in pool.reports():
                    if isinstance(result, Lost):
                        warnings.warn(f"a task runs again: {result}", stacklevel=2)
                        waiting.appendleft(number)
                    else:
                        results[number] = result
                        on_done(tasks[number], result)
            if pool.losses:
                self._remove_unfinished()
        return [results[number] for number in range(len(tasks))]

    def _remove_unfinished(self) -> None:
        """Remove what lost tasks were writing."""
        marker = self._requirements.marker
        for path in marker.parent.rglob(f"{TEMPORARY_PREFIX}*"):
            if path != marker:
                path.unlink(missing_ok=True)


def _once(function: Callable[[Task], Result], task: Task) -> Iterator[Result]:
    yield function(task)
