"""The connection to a Ray cluster: one that is there, or one started here."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError

LOCAL = "local"
_STORE_BYTES = 100 << 20
"""Of Ray's object store when it is started here: results are small, data goes through files."""


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

    address = cluster_address()
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
            **(here if address == LOCAL else {}),
        )
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        raise UserError(f"cannot connect to Ray at {address}: {error}") from error


def cluster_address() -> str:
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
    return LOCAL


def _address_file() -> Path:
    """Return where `ray start` notes the address of its cluster."""
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    return Path(folder, "ray", "ray_current_cluster")


def _connection_error(address: str) -> OSError | None:
    """Return why nothing answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        return error
    return None
