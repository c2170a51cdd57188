"""Tasks on a Ray cluster, and what they need from its machines."""

from __future__ import annotations

import functools
import logging
import os
import platform
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from mixscale.contracts.atomic import temporary_beside
from mixscale.contracts.errors import UserError

_LOCAL = "local"
_STORE_BYTES = 100 << 20
"""Of Ray's object store when it is started here: results are small, data goes through files."""
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


@contextmanager
def connected(cores: int | None = None) -> Iterator[None]:
    """Connect to the Ray cluster of RAY_ADDRESS or of `ray start`; without one, start Ray here.

    A connection that this process has already is used and left open.

    Args:
        cores: How many Ray may use when it is started here; all when not given.

    Raises:
        UserError: Ray is not installed, or there is no cluster at RAY_ADDRESS.
    """
    try:
        import ray
    except ImportError:
        raise UserError(
            "executor 'ray' needs Ray; install it: pip install 'mixscale[ray]'"
        ) from None
    if ray.is_initialized():
        yield
        return
    # Ray prints what happens to its machines to standard output, which holds our results.
    with redirect_stdout(sys.stderr):
        _connect(cores)
        try:
            yield
        finally:
            ray.shutdown()


def _connect(cores: int | None) -> None:
    import ray
    from ray.exceptions import RayError

    address = _address()
    here: dict[str, Any] = {
        "num_cpus": cores,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
    }
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **(here if address == _LOCAL else {}),
        )
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        raise UserError(f"cannot connect to Ray at {address}: {error}") from error


def _address() -> str:
    """Find the cluster to connect to.

    Raises:
        UserError: RAY_ADDRESS is of no use.
    """
    given = os.environ.get("RAY_ADDRESS", "")
    if "://" in given:
        raise UserError(
            f"RAY_ADDRESS: {given}: Ray Client is not supported; run the command on a machine of "
            "the cluster with its address as HOST:PORT"
        )
    if given not in ("", "auto"):
        error = _connection_error(given)
        if error is not None:
            raise UserError(
                f"RAY_ADDRESS: cannot connect to Ray at {given}: {error}; `ray status` on a "
                "machine of the cluster tells whether it is up"
            )
        return given
    with suppress(OSError):
        # The file stays behind when a cluster is killed.
        address = _address_file().read_text(encoding="utf-8").strip()
        if address and _connection_error(address) is None:
            return address
    return _LOCAL


def _address_file() -> Path:
    """Tell where `ray start` notes the address of its cluster."""
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    return Path(folder, "ray", "ray_current_cluster")


def _connection_error(address: str) -> OSError | None:
    """Tell why nothing answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        return error
    return None


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What all machines must have in common with the one that gives out the work."""

    marker: Path
    """A file that is there for as long as the work is wanted."""
    versions: dict[str, str]

    def check(self) -> None:
        """Refuse to work on a machine where results would go astray or differ.

        Raises:
            UserError: Names the machine and what it lacks.
        """
        host = platform.node()
        if not self.marker.exists():
            raise UserError(
                f"{host} does not see {self.marker.parent}; with Ray, inputs and outputs must lie "
                "in folders that all machines share under the same path"
            )
        for package, expected in self.versions.items():
            found = _version(package)
            if found != expected:
                raise UserError(
                    f"{host} has {package} {found}, this machine {expected}; install the same "
                    "packages on all machines of the cluster"
                )


@contextmanager
def machine_requirements(folder: Path, packages: Sequence[str]) -> Iterator[Requirements]:
    """Describe this machine to the others.

    Args:
        folder: All machines must share it.
        packages: Their versions must be the same everywhere, for equal results.
    """
    marker = temporary_beside(folder / "ray")
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    try:
        yield Requirements(marker=marker, versions={name: _version(name) for name in packages})
    finally:
        marker.unlink(missing_ok=True)


@functools.cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


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
        # Ray's own retries would be silent, and without end for a task that eats all memory.
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

        Ray itself tells only after seven minutes that a task is lost when its machine fell silent
        without closing its connections, as one without power does.
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


def refresh_folder(folder: Path) -> None:
    """Make a network file system notice what another machine has just written to a folder."""
    # It may remember for half a minute that a file was missing; opening the folder ends that.
    for place in (folder.parent, folder):
        os.listdir(place)
