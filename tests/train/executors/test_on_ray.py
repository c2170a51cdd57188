"""Sweeps on a Ray cluster: the same records, also when a node dies half-way."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.sweep_record import sweep_records
from mixscale.train.sweep.sweep import sweep
from tests.ray_cluster import RayCluster, worker_processes
from tests.train.tiny_run import TINY_RUN

EXPERIMENT = (
    """\
name: tiny
shardset: {shardset}
out: {out}
design:
  type: explicit
  scales: [15360]
  mixtures:
    uniform: {{code: 0.34, prose: 0.33, tables: 0.33}}
    code: {{code: 0.6, prose: 0.2, tables: 0.2}}
    prose: {{code: 0.2, prose: 0.6, tables: 0.2}}
max_proxy_epochs: 20
evaluation:
  tokens_per_domain: 512
targets: [100k]
"""
    + TINY_RUN
)


pytestmark = pytest.mark.usefixtures("connected")


def write(folder: Path, shardset: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "experiment.yaml"
    path.write_text(EXPERIMENT.format(shardset=shardset, out=folder / "out"))
    return path


def outcomes(folder: Path) -> list[dict[str, object]]:
    """Everything but times."""
    clocks = {"seconds", "train_seconds", "tokens_per_second", "started"}
    records: list[RunRecord] = list(sweep_records(folder / "out", "tiny"))
    return [record.model_dump(exclude=clocks) for record in records]


@pytest.mark.slow
def test_a_sweep_that_loses_a_node_ends_with_the_same_records(
    cluster: RayCluster, shardset: Path, tmp_path: Path
) -> None:
    sweep(write(tmp_path / "local", shardset), workers=1)
    node = cluster.add_node()
    lost: list[str] = []

    def kill() -> None:
        name, held = run_on(node, tmp_path / "ray")
        lost.append(name)
        cluster.kill(node)
        # The run goes on for a moment, beside its second try.
        os.kill(held, signal.SIGCONT)

    killer = threading.Thread(target=kill)
    killer.start()
    lines: list[str] = []
    result = sweep(write(tmp_path / "ray", shardset), executor="ray", report=lines.append)
    killer.join()
    assert result.is_complete
    assert any(f"again: {lost[0]}: its " in line for line in lines), lines
    (memory,) = (line for line in lines if line.startswith("memory: a run needs about "))
    assert "not held against the machines of the cluster" in memory
    assert outcomes(tmp_path / "ray") == outcomes(tmp_path / "local")


def run_on(node: object, folder: Path) -> tuple[str, int]:
    """Wait for a run that trains on a node, and hold its process."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        for process in worker_processes(node):
            try:
                log = Path(os.readlink(f"/proc/{process}/fd/1"))
            except OSError:
                continue
            if log.is_relative_to(folder) and not (log.parent / "result.json").exists():
                os.kill(process, signal.SIGSTOP)
                return log.parent.name, process
        time.sleep(0.01)
    pytest.fail("no run started on the node in time")


def test_gpus_that_are_not_there_are_missed(shardset: Path, tmp_path: Path) -> None:
    experiment = write(tmp_path, shardset)
    for executor in ("local", "ray"):
        with pytest.raises(UserError, match=r"gpus_per_run: 0.25, but there is no GPU"):
            sweep(experiment, executor=executor, gpus_per_run=0.25)


def test_unknown_executors_are_refused(shardset: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"executor: unknown value 'rya'.*Did you mean 'ray'"):
        sweep(write(tmp_path, shardset), executor="rya")
