"""Datasets of many runs that start at the same moment on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RUNS, DEVICES, DATASETS = 4, 2, 6
SCRIPT = """
import multiprocessing, os, socket, sys, traceback

os.environ["TORCH_WARM_POOL"] = "0"
from composer.utils import dist
from mixscale.train.config import DatasetConfig
from mixscale.train.data.streams import build_dataset

RUNS, DEVICES, DATASETS = map(int, sys.argv[1:4])
FOLDER = sys.argv[4]


def device(rank, port, everyone, failures):
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(DEVICES),
        LOCAL_WORLD_SIZE=str(DEVICES), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )
    try:
        dist.initialize_dist("cpu", timeout=120)
        everyone.wait(timeout=120)
        stream = {"text": {"local": FOLDER, "split": "train"}}
        config = DatasetConfig.model_validate({"streams": stream})
        kept = [build_dataset(config, 1, 32) for _ in range(DATASETS)]
        dist.barrier()
        numbers = [dataset._shm_prefix_int for dataset in kept]
        assert len(set(numbers)) == DATASETS, numbers
    except BaseException:
        failures.put(traceback.format_exc())
        raise


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


context = multiprocessing.get_context("fork")
everyone, failures = context.Barrier(RUNS * DEVICES), context.Queue()
processes = [
    context.Process(target=device, args=(rank, port, everyone, failures))
    for port in [free_port() for _ in range(RUNS)]
    for rank in range(DEVICES)
]
for process in processes:
    process.start()
for process in processes:
    process.join(180)
codes = [process.exitcode for process in processes]
for process in processes:
    process.kill()
while not failures.empty():
    print(failures.get(), file=sys.stderr)
sys.exit(0 if codes == [0] * len(codes) else str(codes))
"""


def start_together(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, *map(str, (RUNS, DEVICES, DATASETS)), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_runs_on_several_devices_that_start_together(shardset: Path) -> None:
    """The processes of a run agree on their names, and no two runs have the same."""
    done = start_together(shardset / "code")
    assert done.returncode == 0, done.stderr
