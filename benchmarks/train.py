"""Speed of one run against a bare PyTorch loop over the same model and batches in memory.

    python -m benchmarks.train RUN_YAML [--repeats 5]

Trains the run both ways in turn, with one thread on a CPU, and prints the ratio of their medians.
"Run" is the whole of it: Streaming's data loading, Composer's loop, counting tokens by domain.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from composer.utils import reproducibility

from contracts.config import format_tokens
from train.components import build_optimizer
from train.config import RunConfig, load_run_config
from train.data import train_loader
from train.model import build_model, load_tokenizer
from train.run import train


def bare_loop(config: RunConfig, batches: list[dict[str, torch.Tensor]]) -> float:
    """Train without Composer or Streaming; returns tokens per second."""
    reproducibility.seed_all(config.seed)
    tokenizer = load_tokenizer(config.tokenizer)
    model = build_model(config.model, config.max_seq_len, tokenizer).model
    optimizer = build_optimizer(config.optimizer, model.parameters())
    warm_up = max(1, len(batches) // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warm_up, 0.55 + 0.45 * math.cos(math.pi * step / len(batches))
        ),
    )
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


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description="Time a run against a bare loop.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("TORCH_WARM_POOL", "0")
    config = load_run_config(arguments.run)
    batches = list(train_loader(config, load_tokenizer(config.tokenizer)).dataloader)
    whole_run(config)  # the first one also pays for imports
    runs, loops = [], []
    for _ in range(arguments.repeats):
        runs.append(whole_run(config))
        loops.append(bare_loop(config, batches))
        print(f"run {runs[-1]:10,.0f} tokens/s   bare loop {loops[-1]:10,.0f} tokens/s", flush=True)
    ratio = statistics.median(runs) / statistics.median(loops)
    pairs = sorted(run / loop for run, loop in zip(runs, loops, strict=True))
    tokens = format_tokens(sum(batch["input_ids"].numel() for batch in batches))
    print(
        f"{tokens} tokens a run, {arguments.repeats} of each: run / bare loop = {ratio:.3f} "
        f"(pairs from {pairs[0]:.3f} to {pairs[-1]:.3f})"
    )


if __name__ == "__main__":
    main()
