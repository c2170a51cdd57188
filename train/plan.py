"""What a sweep will cost, before anything starts."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from contracts.config import format_tokens
from contracts.experiment import Experiment, read_experiment
from contracts.run_record import RESULT, run_folder
from contracts.shardset import read_shardset
from train.config import RunConfig
from train.sweep import identified

_CALIBRATION_SECONDS = 4.0
_EVALUATION_COST = 1 / 3
"""A forward pass alone against forward and backward (Kaplan et al., arXiv 2001.08361, sec. 2.1)."""


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One planned run."""

    run_id: str
    role: str
    domain: str | None
    factor: float
    scale_tokens: int
    seed: int
    tokens: int
    tokens_by_domain: dict[str, int]
    epochs_by_domain: dict[str, float]
    is_over: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All runs of an experiment with their cost."""

    experiment: str
    out: Path
    rows: Sequence[PlanRow]
    evaluation_tokens: int
    """Of each run, all validation domains and evaluations together."""
    parameters: int | None
    tokens_per_second: float | None
    """Of one run, measured; None when not asked for."""
    workers: int

    @property
    def missing_tokens(self) -> int:
        """Training tokens of the runs that have no record yet."""
        return sum(row.tokens for row in self.rows if not row.is_over)

    @property
    def seconds(self) -> float | None:
        """Estimated time for what is missing."""
        if self.tokens_per_second is None:
            return None
        missing = sum(not row.is_over for row in self.rows)
        work = self.missing_tokens + missing * self.evaluation_tokens * _EVALUATION_COST
        return work / self.tokens_per_second / min(self.workers, max(missing, 1))

    def as_json(self) -> dict[str, Any]:
        """Write the plan as plain values."""
        return {
            "experiment": self.experiment,
            "out": str(self.out),
            "runs": [vars(row) for row in self.rows],
            "missing_tokens": self.missing_tokens,
            "parameters": self.parameters,
            "tokens_per_second": self.tokens_per_second,
            "workers": self.workers,
            "seconds": self.seconds,
        }


def plan(
    experiment_yaml: str | Path, *, workers: int | None = None, calibrate: bool = True
) -> Plan:
    """List the runs of an experiment, what they need and how long they take.

    Args:
        experiment_yaml: The experiment.
        workers: Runs at a time; one for each core by default.
        calibrate: Measure the speed of one run for a few seconds.

    Raises:
        UserError: The experiment asks for more than the shard set has.
    """
    experiment = read_experiment(experiment_yaml)
    shardset = read_shardset(experiment.shardset)
    out = Path(experiment.out or experiment.shardset)
    runs = identified(experiment)
    length = shardset.sequence_length
    rows = []
    for run_id, run in runs.items():
        tokens = {domain: count * length for domain, count in run.samples.items()}
        rows.append(
            PlanRow(
                run_id=run_id,
                role=run.point.mixture or run.point.role,
                domain=run.point.domain,
                factor=run.point.factor,
                scale_tokens=run.point.scale_tokens,
                seed=run.seed,
                tokens=sum(tokens.values()),
                tokens_by_domain=tokens,
                epochs_by_domain={
                    domain: count / shardset.train_tokens(domain)
                    for domain, count in tokens.items()
                },
                is_over=(run_folder(out, run_id) / RESULT).is_file(),
            )
        )
    any_config = next(iter(runs.values())).config
    parameters, speed = _calibrate(any_config) if calibrate else (None, None)
    return Plan(
        experiment=experiment.name,
        out=out,
        rows=rows,
        evaluation_tokens=_evaluation_tokens(experiment, any_config),
        parameters=parameters,
        tokens_per_second=speed,
        workers=workers or len(os.sched_getaffinity(0)),
    )


def render(result: Plan) -> Table:
    """Draw the plan for a terminal."""
    table = Table(title=f"experiment {result.experiment}: {len(result.rows)} runs")
    for column in ("run", "domain", "scale", "seed"):
        table.add_column(column)
    for column in ("factor", "tokens", "most epochs"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for row in result.rows:
        scarce = max(row.epochs_by_domain, key=lambda domain: row.epochs_by_domain[domain])
        table.add_row(
            row.role,
            row.domain or "",
            format_tokens(row.scale_tokens),
            str(row.seed),
            f"{row.factor:.3g}",
            format_tokens(row.tokens),
            f"{row.epochs_by_domain[scarce]:.2f} {scarce}",
            "has its record" if row.is_over else "to do",
        )
    return table


def summary(result: Plan) -> str:
    """Say in a sentence or two what is left to pay."""
    missing = sum(not row.is_over for row in result.rows)
    text = f"{missing} runs to do, {format_tokens(result.missing_tokens)} training tokens"
    if result.tokens_per_second and result.seconds is not None:
        text += (
            f"; a run of this model ({format_tokens(result.parameters or 0)} parameters) does "
            f"{format_tokens(result.tokens_per_second)} tokens/s here: about "
            f"{result.seconds:.0f} s with {result.workers} at a time"
        )
    return text


def _evaluation_tokens(experiment: Experiment, config: RunConfig) -> int:
    batch_tokens = config.device_eval_batch_size * config.max_seq_len
    once = config.eval_subset_num_batches * batch_tokens * len(config.eval_loader)
    return once * experiment.evaluation.points


def _calibrate(config: RunConfig) -> tuple[int, float]:
    """Train on random tokens for a few seconds: parameters, tokens per second of one run."""
    import torch

    from train.components import build_optimizer
    from train.model import build_model, load_tokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    tokenizer = load_tokenizer(config.tokenizer)
    model = build_model(config.model, config.max_seq_len, tokenizer).to(device).model
    optimizer = build_optimizer(config.optimizer, model.parameters())
    shape = (config.global_train_batch_size, config.max_seq_len)
    seconds: list[float] = []
    while sum(seconds) < _CALIBRATION_SECONDS or len(seconds) < 3:
        tokens = torch.randint(0, len(tokenizer), shape, device=device)
        start = time.perf_counter()
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    median = sorted(seconds[1:])[len(seconds[1:]) // 2]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, shape[0] * shape[1] / median
