"""Tasks of a build on a Ray cluster."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from contracts.atomic import TEMPORARY_PREFIX
from contracts.cluster import Common, Losses, Lost, connected, fetch, in_common, room
from ingest.execute import explained

Task = TypeVar("Task")
Result = TypeVar("Result")

_PACKAGES = "mixscale", "gigatoken", "numpy", "orjson", "pyarrow", "tokenizers", "zstandard", "zstd"
"""Another version of these might write other bytes."""


@contextmanager
def ray_runner(workers: int | None, folder: Path) -> Iterator[RayRunner]:
    """Connect to a cluster and let it work in `folder`, which all its machines share.

    Args:
        workers: How many tasks are given out at once; enough to keep the cluster busy by default.
        folder: Of the shard set.

    Raises:
        UserError: There is no Ray to connect to.
    """
    with connected(workers), in_common(folder, _PACKAGES) as common:
        yield RayRunner(common, workers)


def _attempt(common: Common, function: Callable[[Task], Result], task: Task) -> Result:
    common.check()
    return function(task)


class RayRunner:
    """Runs tasks on a Ray cluster; those that are lost with a machine run again."""

    def __init__(self, common: Common, workers: int | None) -> None:
        self._common = common
        self._workers = workers

    def __call__(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        on_done: Callable[[Task, Result], None],
    ) -> list[Result]:
        """Run `function` on every task; `on_done` hears of each end, in any order."""
        import ray

        # Ray's own retries would be silent, and without end for a task that eats all memory.
        remote = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_attempt)
        waiting = deque(range(len(tasks)))
        running: dict[Any, int] = {}
        results: dict[int, Result] = {}
        losses = Losses()
        try:
            while waiting or running:
                while waiting and len(running) < room(self._workers):
                    number = waiting.popleft()
                    running[remote.remote(self._common, function, tasks[number])] = number
                for reference in ray.wait(list(running))[0]:
                    number = running.pop(reference)
                    try:
                        with explained():
                            results[number] = fetch(reference)
                    except Lost as loss:
                        losses.add(number, loss)
                        warnings.warn(f"a task runs again: {loss}", stacklevel=2)
                        waiting.appendleft(number)
                    else:
                        on_done(tasks[number], results[number])
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
        if losses:
            self._sweep()
        return [results[number] for number in range(len(tasks))]

    def _sweep(self) -> None:
        """Remove what lost tasks were writing."""
        witness = self._common.witness
        for path in witness.parent.rglob(f"{TEMPORARY_PREFIX}*"):
            if path != witness:
                path.unlink(missing_ok=True)
