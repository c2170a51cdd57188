"""Speed of one run against a bare PyTorch loop over the same model and batches in memory.

    python -m benchmarks.train [--batch 16] [--length 128] [--steps 40] [--repeats 5]

Trains both ways in turn, with one thread on a CPU, and prints the median times of a step. "Run" is
the whole of it: Streaming's data loading, Composer's loop, counting tokens by domain. CPU time, of
all threads, tells the two apart even on a machine that does other things; wall time says more on
one that does not. Then it times `mixscale train` from its start to the end of its first batch, in a
new process.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from composer.utils import reproducibility
from ruamel.yaml import YAML

from benchmarks.synthetic import write_shards
from mixscale.contracts.config import validate
from mixscale.train.config import RunConfig
from mixscale.train.data.loaders import train_loader
from mixscale.train.run.components import build_optimizer
from mixscale.train.run.device import describe_device
from mixscale.train.run.model import build_model, load_tokenizer
from mixscale.train.run.training import train

VOCABULARY = 2048
GPT2 = {
    "name": "hf_causal_lm",
    "pretrained_model_name_or_path": "gpt2",
    "pretrained": False,
    "config_overrides": {"n_embd": 128, "n_layer": 4, "n_head": 4},
}
"""1.1 million parameters with a vocabulary of 2,048."""


class Clock:
    """Wall and CPU time at the end of every step."""

    def __init__(self) -> None:
        self.moments: list[tuple[float, float]] = []

    def __call__(self, tokens: int = 0) -> None:
        """Note the time; the tokens that a run reports are not needed."""
        self.moments.append((time.perf_counter(), time.process_time()))

    def steps(self) -> list[tuple[float, float]]:
        """Wall and CPU seconds of the steps after the second."""
        return [
            (later[0] - earlier[0], later[1] - earlier[1])
            for earlier, later in itertools.pairwise(self.moments[1:])
        ]


def bare_loop(config: RunConfig, batches: list[dict[str, torch.Tensor]]) -> Clock:
    """Train without Composer or Streaming."""
    reproducibility.seed_all(config.seed)
    tokenizer = load_tokenizer(config.tokenizer)
    model = build_model(config.model, config.max_seq_len, tokenizer).model.train()
    optimizer = build_optimizer(config.optimizer, model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    clock = Clock()
    for batch in batches:
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "labels")}
        model(**inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        clock()
    return clock


def whole_run(config: RunConfig) -> Clock:
    """Train as `mixscale train` does."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder) / "run", listener=clock, listener_interval=0.0)
    return clock


def start_up(values: dict[str, Any], folder: Path) -> float:
    """Train one batch in a new process; returns its seconds from start to end."""
    path = folder / "run.yaml"
    with path.open("w") as stream:
        YAML().dump(values | {"max_duration": "1ba", "eval_loader": []}, stream)
    start = time.perf_counter()
    command = [sys.executable, "-m", "mixscale", "train", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def compare(config: RunConfig, repeats: int) -> None:
    """Time both in turn; print the medians of each turn and of all."""
    tokenizer = load_tokenizer(config.tokenizer)
    batches = list(train_loader(config, tokenizer).dataloader)
    tokens = config.global_train_batch_size * config.max_seq_len
    runs: list[tuple[float, float]] = []
    loops: list[tuple[float, float]] = []
    print(f"{tokens} tokens a step, on {describe_device('cpu')}")
    for _ in range(repeats):
        loop, run = bare_loop(config, batches).steps(), whole_run(config).steps()
        loops += loop
        runs += run
        print(f"  {_compared(run, loop, tokens)}", flush=True)
    print(f"all {_compared(runs, loops, tokens)}")


def _compared(
    runs: list[tuple[float, float]], loops: list[tuple[float, float]], tokens: int
) -> str:
    parts = []
    for column, name in enumerate(("wall", "CPU")):
        run = statistics.median(step[column] for step in runs)
        loop = statistics.median(step[column] for step in loops)
        parts.append(
            f"{name}: run {1000 * run:.1f} ms, loop {1000 * loop:.1f} ms a step "
            f"({tokens / run:,.0f} and {tokens / loop:,.0f} tokens/s), ratio {loop / run:.3f}"
        )
    return "; ".join(parts)


def main() -> None:
    """Time the runs, then the start."""
    parser = argparse.ArgumentParser(description="Time a run against a bare loop.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("TORCH_WARM_POOL", "0")
    samples = arguments.batch * arguments.steps
    with tempfile.TemporaryDirectory() as folder:
        values = write_shards(
            Path(folder), vocabulary=VOCABULARY, length=arguments.length, samples=samples
        )
        values |= {
            "model": GPT2,
            "max_duration": f"{samples}sp",
            "global_train_batch_size": arguments.batch,
        }
        compare(validate(values, RunConfig, "benchmark"), arguments.repeats)
        print(f"mixscale train: {start_up(values, Path(folder)):.1f} s to the end of one batch")


if __name__ == "__main__":
    main()
