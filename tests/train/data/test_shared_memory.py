"""Datasets of many runs that start at the same moment on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mixscale.train.config import DatasetConfig
from mixscale.train.data.streams import build_dataset

RUNS, DEVICES, DATASETS, OTHERS = 2, 3, 20, 3
SCRIPT = """
import atexit, multiprocessing, os, socket, sys, traceback

os.environ["TORCH_WARM_POOL"] = "0"
from composer.utils import dist
from mixscale.train.config import DatasetConfig
from mixscale.train.data.streams import build_dataset

RUNS, DEVICES, DATASETS, OTHERS = map(int, sys.argv[1:5])
STREAMS = {"text": {"local": sys.argv[5], "split": "train"}}
CONFIG = DatasetConfig.model_validate({"streams": STREAMS})


def device(rank, port, everyone, failures):
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(DEVICES),
        LOCAL_WORLD_SIZE=str(DEVICES), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )
    try:
        dist.initialize_dist("cpu", timeout=600)
        everyone.wait(timeout=600)
        kept = [build_dataset(CONFIG, 1) for _ in range(DATASETS)]
        dist.barrier()
        numbers = [dataset._shm_prefix_int for dataset in kept]
        assert len(set(numbers)) == DATASETS, numbers
    except BaseException:
        failures.put(traceback.format_exc())
        raise


def come_and_go(everyone, ended):
    everyone.wait(timeout=600)
    while not ended.is_set():
        child = os.fork()
        if not child:
            build_dataset(CONFIG, 1)
            atexit._run_exitfuncs()
            os._exit(0)
        os.waitpid(child, 0)
    os._exit(0)


held = []


def free_port():
    # Kept from everyone but those who share it, as PyTorch's server does.
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    held.append(listener)
    return listener.getsockname()[1]


context = multiprocessing.get_context("fork")
everyone, failures = context.Barrier(RUNS * DEVICES + OTHERS), context.Queue()
processes = [
    context.Process(target=device, args=(rank, port, everyone, failures))
    for port in [free_port() for _ in range(RUNS)]
    for rank in range(DEVICES)
]
ended = context.Event()
others = [
    context.Process(target=come_and_go, args=(everyone, ended)) for _ in range(OTHERS)
]
for process in [*processes, *others]:
    process.start()
for process in processes:
    process.join(180)
ended.set()
for process in others:
    process.join(60)
codes = [process.exitcode for process in processes]
for process in [*processes, *others]:
    process.kill()
while not failures.empty():
    print(failures.get(), file=sys.stderr)
sys.exit(0 if codes == [0] * len(codes) else str(codes))
"""


def start_together(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        *map(str, (RUNS, DEVICES, DATASETS, OTHERS)),
        str(folder),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_runs_on_several_devices_that_start_together(shardset: Path) -> None:
    """The processes of a run agree on their names, and no two runs have the same.

    Beside them other datasets come and go all the time.
    """
    done = start_together(shardset / "code")
    assert done.returncode == 0, done.stderr


def test_a_dataset_opens_no_more_files_for_those_before_it(shardset: Path) -> None:
    """Streaming alone keeps open what it finds of others: 40 datasets, 10,000 files."""
    streams = {"text": {"local": str(shardset / "code"), "split": "train"}}
    config = DatasetConfig.model_validate({"streams": streams})
    kept, files = [], []
    for _ in range(8):
        kept.append(build_dataset(config, 1))
        files.append(len(os.listdir("/proc/self/fd")))
    assert files[-1] - files[-2] <= files[1] - files[0]
