"""Speed of one run against a bare PyTorch loop over the same model and batches in memory.

    python -m benchmarks.train [--batch 16] [--length 128] [--steps 100] [--repeats 5]

Trains both ways in turn, with one thread on a CPU, and prints the ratio of their medians. "Run" is
the whole of it: Streaming's data loading, Composer's loop, counting tokens by domain. Then it times
`mixscale train` from its start to the end of its first batch, in a new process.
"""

from __future__ import annotations

import argparse
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
from contracts.config import format_tokens, validate
from train.components import build_optimizer
from train.config import RunConfig
from train.data import train_loader
from train.device import describe_device
from train.model import build_model, load_tokenizer
from train.run import train

VOCABULARY = 2048
GPT2 = {
    "name": "hf_causal_lm",
    "pretrained_model_name_or_path": "gpt2",
    "pretrained": False,
    "config_overrides": {"n_embd": 128, "n_layer": 4, "n_head": 4},
}
"""1.1 million parameters with a vocabulary of 2,048."""


def bare_loop(config: RunConfig, batches: list[dict[str, torch.Tensor]]) -> float:
    """Train without Composer or Streaming; returns tokens per second."""
    reproducibility.seed_all(config.seed)
    tokenizer = load_tokenizer(config.tokenizer)
    model = build_model(config.model, config.max_seq_len, tokenizer).model.train()
    optimizer = build_optimizer(config.optimizer, model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))
    start = time.perf_counter()
    for batch in batches:
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "labels")}
        model(**inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    seconds = time.perf_counter() - start
    return sum(batch["input_ids"].numel() for batch in batches) / seconds


def whole_run(config: RunConfig) -> float:
    """Train as `mixscale train` does; returns tokens per second of training."""
    with tempfile.TemporaryDirectory() as folder:
        return train(config, Path(folder) / "run").tokens_per_second


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
    """Time both in turn; print every pair and the ratio of the medians."""
    tokenizer = load_tokenizer(config.tokenizer)
    batches = list(train_loader(config, tokenizer).dataloader)
    whole_run(config)  # the first one also pays for imports
    runs, loops = [], []
    for _ in range(repeats):
        runs.append(whole_run(config))
        loops.append(bare_loop(config, batches))
        print(f"run {runs[-1]:10,.0f} tokens/s   bare loop {loops[-1]:10,.0f} tokens/s", flush=True)
    ratio = statistics.median(runs) / statistics.median(loops)
    pairs = sorted(run / loop for run, loop in zip(runs, loops, strict=True))
    tokens = format_tokens(sum(batch["input_ids"].numel() for batch in batches))
    print(
        f"{config.global_train_batch_size} x {config.max_seq_len} tokens a batch, {tokens} a run, "
        f"{repeats} of each on {describe_device('cpu')}: run / bare loop = {ratio:.3f} "
        f"(pairs from {pairs[0]:.3f} to {pairs[-1]:.3f})"
    )


def main() -> None:
    """Time the runs, then the start."""
    parser = argparse.ArgumentParser(description="Time a run against a bare loop.")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100)
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
