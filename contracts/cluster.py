"""What tasks on a Ray cluster need from its machines."""

from __future__ import annotations

import functools
import logging
import os
import platform
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from contracts.atomic import temporary_beside
from contracts.errors import UserError

_LOCAL = "local"
_STORE_BYTES = 100 << 20
"""Of Ray's object store when it is started here: results are small, data goes through files."""
MOST_LOSSES = 5
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
        deafness = _deafness(given)
        if deafness is not None:
            raise UserError(
                f"RAY_ADDRESS: cannot connect to Ray at {given}: {deafness}; `ray status` on a "
                "machine of the cluster tells whether it is up"
            )
        return given
    with suppress(OSError):
        # The file stays behind when a cluster is killed.
        noted = _note().read_text(encoding="utf-8").strip()
        if noted and _deafness(noted) is None:
            return noted
    return _LOCAL


def _note() -> Path:
    """Tell where `ray start` notes the address of its cluster."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return Path(folder, "ray", "ray_current_cluster")


def _deafness(address: str) -> OSError | None:
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
class Common:
    """What all machines must have in common with the one that gives out the work."""

    witness: Path
    """A file that is there for as long as the work is wanted."""
    versions: dict[str, str]

    def check(self) -> None:
        """Refuse to work on a machine where results would go astray or differ.

        Raises:
            UserError: Names the machine and what it lacks.
        """
        host = platform.node()
        if not self.witness.exists():
            raise UserError(
                f"{host} does not see {self.witness.parent}; with Ray, inputs and outputs must lie "
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
def in_common(folder: Path, packages: Sequence[str]) -> Iterator[Common]:
    """Describe this machine to the others.

    Args:
        folder: All machines must share it.
        packages: Their versions must be the same everywhere, for equal results.
    """
    witness = temporary_beside(folder / "ray")
    witness.parent.mkdir(parents=True, exist_ok=True)
    witness.touch()
    try:
        yield Common(witness=witness, versions={name: _version(name) for name in packages})
    finally:
        witness.unlink(missing_ok=True)


@functools.cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def room(workers: int | None, resource: str = "CPU", share: float = 1.0) -> int:
    """Count how many tasks may be with the cluster at once.

    Without a limit, twice as many as have room there: enough to keep it busy, and to show an
    autoscaler that more machines are wanted.
    """
    import ray

    if workers is not None:
        return workers
    return max(2 * int(ray.cluster_resources().get(resource, 0) / share), 2)


def fetch(reference: Any) -> Any:
    """Get the result of a task.

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


def look_again(folder: Path) -> None:
    """Make a network file system notice what another machine has just written to a folder."""
    # It may remember for half a minute that a file was missing; opening the folder ends that.
    for place in (folder.parent, folder):
        os.listdir(place)


class Losses:
    """Counts how often each task was lost."""

    def __init__(self) -> None:
        self._by_task: Counter[Any] = Counter()

    def __bool__(self) -> bool:
        return bool(self._by_task)

    def add(self, task: Any, loss: Lost) -> None:
        """Count one loss.

        Raises:
            UserError: The same task was lost too often: the task itself may be the cause.
        """
        self._by_task[task] += 1
        if self._by_task[task] >= MOST_LOSSES:
            raise UserError(
                f"the same task was lost {MOST_LOSSES} times, the last time because {loss}; "
                "nothing that was done is lost: the same command goes on where it stopped"
            ) from loss
