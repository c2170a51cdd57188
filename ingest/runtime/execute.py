"""The executors of a build: where its tasks run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.ingest.runtime.local import local_runner
from mixscale.ingest.runtime.on_ray import ray_runner
from mixscale.ingest.runtime.runner import Runner

EXECUTORS = {"local": local_runner, "ray": ray_runner}
"""By the names that `--executor` takes."""


@contextmanager
def open_runner(
    executor: str, workers: int | None, folder: Path, *, may_fork: bool = False
) -> Iterator[Runner]:
    """Start the workers and stop them at the end.

    Args:
        executor: A name of `EXECUTORS`.
        workers: How many tasks run at once; as many as there are cores when not given.
        folder: Where the tasks write; several machines must share it.
        may_fork: Whether local workers may be copies of this process.

    Raises:
        UserError: There is no such executor, or fewer than one worker.
    """
    if executor not in EXECUTORS:
        raise unknown_name("executor", executor, EXECUTORS)
    if workers is not None and workers < 1:
        raise UserError(f"workers: expected 1 or more, found {workers}")
    with EXECUTORS[executor](workers, folder, may_fork=may_fork) as runner:
        yield runner
