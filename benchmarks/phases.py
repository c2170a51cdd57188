"""Where the time of one run goes.

    python -m benchmarks.phases RUN_YAML

Trains the run under Python's profiler by CPU time, with one thread on a CPU, and prints what each
phase took. A proxy run of a sweep has its `run.yaml` in `runs/<run_id>/`.
"""

from __future__ import annotations

import argparse
import cProfile
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mixscale.contracts.config import load_config
from mixscale.train.config import RunConfig
from mixscale.train.executors.worker import prepare
from mixscale.train.run.training import train

FUNCTIONS = {
    "all": ("train/run/training.py", "train"),
    "set-up": ("train/run/trainer.py", "prepare_run"),
    "forward": ("composer/models/huggingface.py", "forward"),
    "backward": ("torch/_tensor.py", "backward"),
    "optimizer": ("composer/optim/decoupled_weight_decay.py", "step"),
    "training, in the step": ("composer/trainer/trainer.py", "_train_microbatches"),
    "evaluation": ("composer/trainer/trainer.py", "_run_evaluators"),
    "evaluation, forward": ("composer/models/huggingface.py", "eval_forward"),
    "evaluation, loss": ("composer/models/huggingface.py", "update_metric"),
}
"""By phase, the function whose time it is: end of its file's path, and its name."""
NESTED = {"forward": "evaluation, forward", "optimizer": "training, in the step"}
"""Phases that hold part of another, which is taken off."""


def profile(config: RunConfig) -> dict[str, float]:
    """Train a run; returns CPU seconds by phase."""
    profiler = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        profiler.runcall(train, config, Path(folder) / "run")
    seconds = dict.fromkeys(FUNCTIONS, 0.0)
    for entry in profiler.getstats():
        if isinstance(entry.code, str):
            continue
        for phase, (ending, name) in FUNCTIONS.items():
            if entry.code.co_name == name and entry.code.co_filename.endswith(ending):
                seconds[phase] = max(seconds[phase], entry.totaltime)
    for phase, part in NESTED.items():
        seconds[phase] -= seconds[part]
    return seconds


def main() -> None:
    """Profile a run and draw the table."""
    parser = argparse.ArgumentParser(description="Show where the time of a run goes.")
    parser.add_argument("run_yaml", type=Path)
    config = load_config(parser.parse_args().run_yaml, RunConfig)
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    prepare()
    seconds = profile(config)
    top = ("set-up", "forward", "backward", "optimizer", "evaluation")
    seconds["the rest"] = seconds["all"] - sum(seconds[phase] for phase in top)
    table = Table(title="CPU seconds of one run")
    table.add_column("phase")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    for phase in (*top[:-1], "the rest", "evaluation", "evaluation, forward", "evaluation, loss"):
        share = seconds[phase] / seconds["all"]
        table.add_row(phase, f"{seconds[phase]:.2f}", f"{share:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
