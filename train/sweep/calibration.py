"""The speed of an experiment's runs, measured by short ones."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import LOG, RESULT, RunRecord, read_record
from mixscale.train.config import RunConfig
from mixscale.train.executors.job import Job
from mixscale.train.executors.local import run_jobs
from mixscale.train.executors.progress import JobProgress

_FIRST_BATCHES = 8
_TRAINING_SECONDS = 4.0
_EVALUATION_SECONDS = 2.0
_LOG_LINES = 20


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How fast a run is while as many run beside it as in the sweep."""

    parameters: int
    tokens_per_second: float
    """Training."""
    evaluation_tokens_per_second: float
    start_seconds: float
    """Of a run besides training and evaluation: its process, its model, its data."""
    prepare_seconds: float
    """Of a sweep, before its first run."""
    without_embeddings: int | None = None
    """Parameters as fits count them, and as targets state a size."""

    def run_seconds(self, tokens: int, evaluation_tokens: int) -> float:
        """Predict how long a run takes."""
        training = tokens / self.tokens_per_second
        return self.start_seconds + training + evaluation_tokens / self.evaluation_tokens_per_second


def calibrate(config: RunConfig, workers: int, gpus_per_run: float | None = None) -> Calibration:
    """Measure with runs of a few seconds, made as a sweep makes them, `workers` at a time.

    Raises:
        UserError: Such a run does not work.
    """
    batch = config.global_train_batch_size * config.max_seq_len
    evaluation_batch = _evaluation_tokens(config, 1)
    with tempfile.TemporaryDirectory(prefix="mixscale-plan-") as folder:

        def measure(batches: int, evaluation_batches: int, name: str) -> _Measured:
            short = _short(config, batches, evaluation_batches)
            return _measure(short, workers, gpus_per_run, Path(folder, name))

        first = measure(_FIRST_BATCHES, 1, "first")
        batches = max(_FIRST_BATCHES, int(_TRAINING_SECONDS * first.speed / batch))
        evaluations = int(_EVALUATION_SECONDS * first.evaluation_speed / evaluation_batch)
        second = measure(batches, max(1, evaluations), "second")
    return Calibration(
        parameters=second.records[0].parameters or 0,
        tokens_per_second=second.speed,
        evaluation_tokens_per_second=second.evaluation_speed,
        start_seconds=second.overhead,
        prepare_seconds=max(0.0, first.overhead - second.overhead),
        without_embeddings=second.records[0].non_embedding_parameters,
    )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    records: Sequence[RunRecord]
    evaluation_tokens: int
    seconds: float

    @property
    def speed(self) -> float:
        """The mean over the runs, tokens per second."""
        return sum(record.tokens_per_second for record in self.records) / len(self.records)

    @property
    def evaluation_speed(self) -> float:
        spent = sum(record.seconds - record.train_seconds for record in self.records)
        return self.evaluation_tokens * len(self.records) / max(spent, 1e-3)

    @property
    def overhead(self) -> float:
        """What a run takes besides training and evaluation, seconds."""
        return max(0.0, self.seconds - max(record.seconds for record in self.records))


def _measure(
    config: RunConfig, workers: int, gpus_per_run: float | None, folder: Path
) -> _Measured:
    jobs = [
        Job(
            name=f"calibration {number + 1}",
            config=config,
            folder=folder / str(number),
            purpose={},
            tokens=int(config.max_duration.removesuffix("tok")),
        )
        for number in range(workers)
    ]
    start = time.perf_counter()
    with JobProgress({job.name: job.tokens for job in jobs}, lambda line: None) as progress:
        try:
            died = run_jobs(
                jobs, workers=workers, retries=0, progress=progress, gpus_per_run=gpus_per_run
            )
        except UserError as error:
            lines = _last_lines(jobs)
            raise UserError(
                f"a short run to measure the speed: {_without_log(str(error), folder)}{lines}"
            ) from error
    seconds = time.perf_counter() - start
    if died:
        name, reason = next(iter(died.items()))
        raise UserError(
            f"a short run to measure the speed died: {_without_log(reason, folder)}"
            f"{_last_lines([job for job in jobs if job.name == name])}"
        )
    records = [read_record(job.folder / RESULT) for job in jobs]
    for record in records:
        if record.status not in ("finished", "stopped"):
            raise UserError(f"a short run to measure the speed: {record.status}: {record.error}")
    evaluated = _evaluation_tokens(config, config.eval_subset_num_batches)
    return _Measured(records=records, evaluation_tokens=evaluated, seconds=seconds)


def _without_log(reason: str, folder: Path) -> str:
    """Leave out where the log is: it goes with the short run."""
    log = rf"{re.escape(str(folder))}\S*{re.escape(LOG)}"
    return re.sub(rf"; see {log}| \(more in {log}\)", "", reason)


def _last_lines(jobs: Sequence[Job]) -> str:
    """Quote the end of the first log of some short runs."""
    for job in jobs:
        log = job.folder / LOG
        if log.is_file():
            text = _without_log(log.read_text(encoding="utf-8", errors="replace"), job.folder)
            lines = text.strip().splitlines()[-_LOG_LINES:]
            if lines:
                return "\n".join(["", "the last lines of its log:", *lines])
    return ""


def _short(config: RunConfig, batches: int, evaluation_batches: int) -> RunConfig:
    """Cut a run to some batches, with one evaluation; it reports to nobody and saves nothing."""
    tokens = batches * config.global_train_batch_size * config.max_seq_len
    whole = int(config.max_duration.removesuffix("tok"))
    update = {
        "max_duration": f"{min(tokens, whole)}tok",
        "eval_interval": "1dur",
        "eval_subset_num_batches": min(evaluation_batches, config.eval_subset_num_batches),
        "loggers": {},
        "callbacks": {k: v for k, v in config.callbacks.items() if k != "hf_checkpointer"},
        "save_folder": None,
        "autoresume": False,
    }
    return config.model_copy(update=update)


def _evaluation_tokens(config: RunConfig, batches: int) -> int:
    return batches * config.device_eval_batch_size * config.max_seq_len * len(config.eval_loader)
