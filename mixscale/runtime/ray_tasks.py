"""Tasks on the machines of a Ray cluster, with those noticed that are lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.runtime.ray_machines import Requirements

MAX_LOSSES = 5
_CHECK_SECONDS = 5.0
"""How often to check which machines are gone."""
_LOSSES = {
    "NodeDiedError": "its machine is gone",
    "LocalRayletDiedError": "Ray on its machine is gone",
    "WorkerCrashedError": "its process died",
    "OutOfMemoryError": "its machine ran out of memory",
    "ObjectLostError": "its result was lost with a machine",
}


class Lost(Exception):
    """A task ended without a result, and not by an error of its own."""


def _run_task(
    requirements: Requirements, work: Callable[[Any], Iterator[Any]], task: Any
) -> Iterator[Any]:
    """Do a task on some machine; reports first on which."""
    import ray

    yield ray.get_runtime_context().get_node_id()
    requirements.check()
    yield from work(task)


@dataclass
class _Sent:
    """A task that is with the cluster."""

    key: Any
    task: Any
    node: str | None = None
    """Where it runs, once that is known."""


class TaskPool:
    """Gives tasks to the machines of a cluster, yields what they report, notices lost ones."""

    def __init__(
        self,
        requirements: Requirements,
        work: Callable[[Any], Iterator[Any]],
        workers: int | None,
        gpus: float = 0.0,
    ) -> None:
        """Take no task yet.

        Args:
            requirements: What the machines must have in common.
            work: Gets a task, yields what it reports.
            workers: How many tasks are with the cluster at once. By default twice as many as fit
                there: it stays busy, and an autoscaler sees that more machines are wanted.
            gpus: Share of a GPU that each task needs, besides one core.
        """
        import ray

        self._requirements, self._work, self._workers = requirements, work, workers
        self._share = ("GPU", gpus) if gpus else ("CPU", 1.0)
        # Ray's own retries would go unnoticed, and without end for a task that eats all memory.
        self._remote = ray.remote(
            num_cpus=1, num_gpus=gpus, max_retries=0, scheduling_strategy="SPREAD"
        )(_run_task)
        self._sent: dict[Any, _Sent] = {}
        self._losses: Counter[Any] = Counter()
        self._checked = time.monotonic()
        self._dead = _dead_machines()

    def __enter__(self) -> TaskPool:
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for stream in self._sent:
            ray.cancel(stream, force=True)

    @property
    def is_idle(self) -> bool:
        """Whether no task is with the cluster."""
        return not self._sent

    @property
    def has_capacity(self) -> bool:
        """Whether the cluster can take one more task."""
        import ray

        limit = self._workers
        if limit is None:
            resource, share = self._share
            limit = max(2 * int(ray.cluster_resources().get(resource, 0) / share), 2)
        return len(self._sent) < limit

    @property
    def losses(self) -> int:
        """How often a task was lost."""
        return self._losses.total()

    def submit(self, key: Any, task: Any) -> None:
        """Give a task to the cluster; what it reports comes under `key`."""
        self._sent[self._remote.remote(self._requirements, self._work, task)] = _Sent(key, task)

    def reports(self) -> Iterator[tuple[Any, Any]]:
        """Wait a little; yield keys with what tasks report, or with `Lost` for one that is gone.

        Raises:
            UserError: The same task was lost too often: the task itself may be the cause.
            Exception: What a task raised.
        """
        import ray

        streams: list[Any] = list(self._sent)
        for stream in ray.wait(streams, timeout=_CHECK_SECONDS)[0]:
            sent = self._sent[stream]
            generator: Any = stream
            try:
                message = _receive(next(generator))
            except StopIteration:
                del self._sent[stream]
            except Lost as loss:
                yield self._record_loss(stream, loss)
            else:
                if sent.node is None:
                    sent.node = message
                else:
                    yield sent.key, message
        for node in self._newly_dead():
            for stream, sent in list(self._sent.items()):
                if sent.node not in (node, None):
                    continue
                ray.cancel(stream, force=True)
                if sent.node == node:
                    yield self._record_loss(stream, Lost(_LOSSES["NodeDiedError"]))
                else:
                    # It waits, or was on its way there.
                    del self._sent[stream]
                    self.submit(sent.key, sent.task)

    def _newly_dead(self) -> set[str]:
        """Find machines that the cluster has given up since the last check.

        Ray itself reports only after seven minutes that a task is lost when its machine stopped
        answering without closing its connections, as one without power does.
        """
        if time.monotonic() - self._checked < _CHECK_SECONDS:
            return set()
        self._checked = time.monotonic()
        known, self._dead = self._dead, _dead_machines()
        return self._dead - known

    def _record_loss(self, stream: Any, loss: Lost) -> tuple[Any, Lost]:
        key = self._sent.pop(stream).key
        self._losses[key] += 1
        if self._losses[key] >= MAX_LOSSES:
            raise UserError(
                f"the same task was lost {MAX_LOSSES} times, the last time because {loss}; "
                "nothing that was done is lost: the same command goes on where it stopped"
            ) from loss
        return key, loss


def _dead_machines() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if not node["Alive"]}


def _receive(reference: Any) -> Any:
    """Get what a task reports.

    Raises:
        Lost: The task did not end; the message says why.
        Exception: What the task raised.
    """
    import ray
    from ray import exceptions

    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        raise error.cause from error
    except exceptions.RayError as error:
        names = [kind.__name__ for kind in type(error).__mro__]
        reasons = [_LOSSES[name] for name in names if name in _LOSSES]
        if not reasons:
            raise
        raise Lost(reasons[0]) from error
