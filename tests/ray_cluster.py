"""A real Ray cluster of several nodes on this machine, whose nodes a test may kill."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SIZE = {"num_cpus": 1, "object_store_memory": 80 << 20}
_TRIES = 3


class RayCluster:
    """Nodes of one core each; the first holds the cluster together."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = _start_node(
            lambda: Cluster(
                initialize_head=True,
                head_node_args={
                    "include_dashboard": False,
                    "_system_config": {"health_check_period_ms": 1000},
                    **_SIZE,
                },
            )
        )
        self.address = str(self._cluster.address)

    def add_node(self) -> Any:
        """Start one more node."""
        node = _start_node(lambda: self._cluster.add_node(**_SIZE))
        self._cluster.wait_for_nodes()
        return node

    def kill(self, node: Any) -> None:
        """Take a node away."""
        self._cluster.remove_node(node, allow_graceful=False)

    def stop(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


def _start_node(start: Callable[[], Any]) -> Any:
    """Start a node, in several tries: on a busy machine Ray gives up after half a minute."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return start()
        except Exception:
            if not tries_left:
                raise
    return None


def raylet(node: Any) -> int:
    """Return the process below which all work of a node is done."""
    return next(
        info[0].process.pid for name, info in node.all_processes.items() if name == "raylet"
    )


def stop_at_work(node: Any, title: str, seconds: float = 120) -> int:
    """Wait until a process of a node does some task, and hold it in the middle of that.

    Args:
        node: One of the cluster.
        title: How Ray names a process while it does the task.
        seconds: Give up after that.

    Returns:
        The process.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for child in children(raylet(node)):
            if _title(child).startswith(title):
                os.kill(child, signal.SIGSTOP)
                if _title(child).startswith(title):
                    return child
                os.kill(child, signal.SIGCONT)
        time.sleep(0.002)
    pytest.fail(f"no process of the node did {title} in time")


def children(process: int) -> list[int]:
    """List the children of a process, whichever of its threads started them."""
    found = []
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in tasks.read_text().split()]
    return found


def worker_processes(node: Any) -> list[int]:
    """List all processes of a node's workers."""
    found = children(raylet(node))
    for process in found:
        found += children(process)
    return found


def _title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
