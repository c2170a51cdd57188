"""Tasks of a build on a Ray cluster."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from mixscale.contracts.atomic import TEMPORARY_PREFIX
from mixscale.ingest.runtime.execute import explained
from mixscale.runtime.ray_cluster import Common, Crew, Lost, connected, in_common

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
        waiting = deque(range(len(tasks)))
        results: dict[int, Result] = {}
        with explained(), Crew(self._common, partial(_once, function), self._workers) as crew:
            while waiting or not crew.is_idle:
                while waiting and crew.has_room:
                    number = waiting.popleft()
                    crew.send(number, tasks[number])
                for number, result in crew.hear():
                    if isinstance(result, Lost):
                        warnings.warn(f"a task runs again: {result}", stacklevel=2)
                        waiting.appendleft(number)
                    else:
                        results[number] = result
                        on_done(tasks[number], result)
            if crew.losses:
                self._sweep()
        return [results[number] for number in range(len(tasks))]

    def _sweep(self) -> None:
        """Remove what lost tasks were writing."""
        witness = self._common.witness
        for path in witness.parent.rglob(f"{TEMPORARY_PREFIX}*"):
            if path != witness:
                path.unlink(missing_ok=True)


def _once(function: Callable[[Task], Result], task: Task) -> Iterator[Result]:
    yield function(task)
