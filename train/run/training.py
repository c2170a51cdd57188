"""One training run: from its config to its record."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from composer import Callback, Trainer
from composer.models import HuggingFaceModel
from composer.utils import dist, reproducibility
from ruamel.yaml import YAML

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import (
    RUN_YAML,
    DomainLoss,
    DomainTokens,
    RunRecord,
    Status,
    write_record,
)
from mixscale.contracts.shardset import VALIDATION, ShardSet
from mixscale.train.config import MASKED, RunConfig, to_plain
from mixscale.train.data.dataset import DomainDataset
from mixscale.train.data.loaders import dataset_of, evaluators, train_loader
from mixscale.train.run.checkpoints import remove_unfinished
from mixscale.train.run.components import (
    ALGORITHMS,
    CALLBACKS,
    LOGGERS,
    SCHEDULERS,
    build,
    build_all,
    build_optimizer,
)
from mixscale.train.run.device import choose_device, choose_precision, describe_device
from mixscale.train.run.failures import failure_of
from mixscale.train.run.identity import content_of, find_shardset
from mixscale.train.run.model import build_model, load_tokenizer
from mixscale.train.run.recording import (
    DivergenceGuard,
    EvaluationLog,
    ProgressReport,
    StopWatch,
    TokenCounter,
)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Everything a run is made of."""

    model: HuggingFaceModel
    dataset: DomainDataset
    trainer: Trainer
    counter: TokenCounter
    evaluation: EvaluationLog
    watch: StopWatch


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """How a run ended."""

    parts: _Parts | None
    """None when it failed before its first batch."""
    status: Status
    error: str | None


_PACKAGES = ("mixscale", "mosaicml", "mosaicml-streaming", "torch", "transformers")
_NOTHING_MEASURED: dict[str, Any] = {
    "parameters": 0, "token_budget": 0, "seen_tokens": 0, "domains": {},
    "seconds": 0.0, "train_seconds": 0.0, "tokens_per_second": 0.0,
}  # fmt: skip


def train(
    config: RunConfig,
    folder: str | Path,
    *,
    identity: dict[str, Any] | None = None,
    listener: Callable[[int], None] | None = None,
    listener_interval: float = 0.5,
) -> RunRecord:
    """Train one model, evaluate it, write its record into `folder`.

    Args:
        config: The run.
        folder: `runs/<run_id>`; gets `run.yaml` first, `result.json` last.
        identity: Fields of the record that say what the run is for (sweep, role, domain and so on).
        listener: Called with the tokens done, after batches.
        listener_interval: Seconds between two of these calls, at least.

    Returns:
        The record. Its status is `finished`; or `diverged`, `out_of_memory` or `data_error`, with
        the reason and the way out in `error`.

    Raises:
        UserError: The config asks for what is not there; or memory ran out or a shard cannot be
            read, with several devices: those that are well wait for the others then.
    """
    target = Path(folder)
    started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    reporter = None if listener is None else ProgressReport(listener, listener_interval)
    outcome = _attempt(config, target, reporter)
    record = _record(config, outcome, target.name, started, identity or {})
    if dist.get_global_rank() == 0:
        write_record(target, record)
    return record


def write_run_yaml(folder: Path, config: RunConfig) -> Path:
    """Write the resolved config, which `mixscale train` and LLM Foundry both read."""
    path = folder / RUN_YAML
    yaml = YAML()
    yaml.width = 4096
    with atomic_write(path) as stream:
        yaml.dump(to_plain(config), stream)
    return path


def _build(config: RunConfig, reporter: ProgressReport | None) -> _Parts:
    device = choose_device()
    _check_batches(config)
    _check_checkpoint(config)
    if dist.get_world_size() > 1 or config.fsdp_config:
        # In a single process every collective would cost time at every batch, for nothing.
        dist.initialize_dist(device, timeout=config.dist_timeout)
    if dist.get_global_rank() == 0:
        remove_unfinished(config)
    tokenizer = load_tokenizer(config.tokenizer)
    # The data comes before the seed is set, so that the weights do not depend on the data.
    loader = train_loader(config, tokenizer)
    evaluation_loaders = evaluators(config, tokenizer)
    reproducibility.seed_all(config.seed)
    model = build_model(config.model, config.max_seq_len, tokenizer)
    dataset = dataset_of(loader)
    counter = TokenCounter(dataset, config.max_seq_len)
    evaluation, watch = EvaluationLog(), StopWatch()
    recorders: list[Callback] = [counter, evaluation, watch, DivergenceGuard()]
    if reporter is not None:
        recorders.append(reporter)
    trainer = Trainer(
        model=model,
        train_dataloader=loader,
        eval_dataloader=evaluation_loaders,
        optimizers=build_optimizer(config.optimizer, model.parameters()),
        schedulers=build("scheduler", SCHEDULERS, config.scheduler),
        algorithms=build_all("algorithms", ALGORITHMS, config.algorithms),
        callbacks=[*recorders, *build_all("callbacks", CALLBACKS, config.callbacks)],
        loggers=build_all("loggers", LOGGERS, config.loggers),
        max_duration=config.max_duration,
        device=device,
        precision=choose_precision(config, device),
        # Batches of masked language models differ in how many tokens they predict.
        accumulate_train_batch_on_tokens=config.model.name == MASKED,
        parallelism_config={"fsdp": config.fsdp_config} if config.fsdp_config else None,
        **config.model_dump(
            include={
                "seed", "run_name", "eval_interval", "eval_subset_num_batches",
                "device_train_microbatch_size", "compile_config", "save_folder", "save_interval",
                "save_num_checkpoints_to_keep", "save_overwrite", "load_path", "load_weights_only",
                "load_strict_model_weights", "autoresume",
                "progress_bar", "log_to_console", "console_log_interval", "python_log_level",
                "dist_timeout",
            }
        ),
    )  # fmt: skip
    _check_left_to_do(config, trainer)
    return _Parts(
        model=model,
        dataset=dataset,
        trainer=trainer,
        counter=counter,
        evaluation=evaluation,
        watch=watch,
    )


def _check_batches(config: RunConfig) -> None:
    if config.device_train_microbatch_size == "auto" and not config.fsdp_config:
        raise UserError(
            "device_train_microbatch_size: Composer finds it itself (`auto`) only with "
            "`fsdp_config`; give a number"
        )


def _check_checkpoint(config: RunConfig) -> None:
    if config.load_path and "://" not in config.load_path and not Path(config.load_path).exists():
        raise UserError(
            f"load_path: {config.load_path} is missing; relative paths count from the current "
            f"folder ({Path.cwd()})"
        )


def _check_left_to_do(config: RunConfig, trainer: Trainer) -> None:
    """Refuse a checkpoint that is past the end; a run that resumes its own last one is over."""
    limit = trainer.state.max_duration
    if config.load_path and not config.autoresume and limit and trainer.state.timestamp >= limit:
        raise UserError(
            f"load_path: the checkpoint is at {trainer.state.timestamp.get(limit.unit)} and "
            f"max_duration is {limit}: nothing is left to do. Raise max_duration, or start a new "
            "run from its weights with `load_weights_only: true`"
        )


def _attempt(config: RunConfig, folder: Path, reporter: ProgressReport | None) -> _Outcome:
    """Make the run's parts and train, until it ends or something goes wrong."""
    parts: _Parts | None = None
    status: Status = "finished"
    reason: str | None = None
    try:
        parts = _build(config, reporter)
        _write_run_yaml_once(folder, config)
        _fit(parts)
    except Exception as error:
        failure = failure_of(error, config)
        if failure is None:
            raise
        status, reason = failure
        if status != "diverged" and dist.get_world_size() > 1:
            raise UserError(f"{status}: {reason}") from error
        _write_run_yaml_once(folder, config)
    return _Outcome(parts=parts, status=status, error=reason)


def _write_run_yaml_once(folder: Path, config: RunConfig) -> None:
    if dist.get_global_rank() == 0:
        write_run_yaml(folder, config)


def _fit(parts: _Parts) -> None:
    state = parts.trainer.state
    try:
        # Killed between its last checkpoint and its record, a run has nothing left to train.
        if state.max_duration is None or state.timestamp < state.max_duration:
            parts.trainer.fit()
    finally:
        parts.watch.stop()
        parts.trainer.close()


def _record(
    config: RunConfig,
    outcome: _Outcome,
    name: str,
    started: str,
    identity: dict[str, Any],
) -> RunRecord:
    shardset = find_shardset(config)
    measured = {} if outcome.parts is None else _measured(config, outcome.parts, shardset)
    if outcome.status != "finished":
        measured["evaluation"] = {}
    device = choose_device()
    return RunRecord.model_validate(
        _NOTHING_MEASURED
        | measured
        | {
            "run_id": name,
            "seed": config.seed,
            "status": outcome.status,
            "error": outcome.error,
            "device": describe_device(device),
            "precision": choose_precision(config, device),
            "shardset_sha256": shardset.content_sha256 if shardset else content_of(config),
            "versions": {package: version(package) for package in _PACKAGES},
            "started": started,
        }
        | identity
    )


def _measured(config: RunConfig, parts: _Parts, shardset: ShardSet | None) -> dict[str, Any]:
    domains = _domain_tokens(config, parts)
    seen = sum(tokens.seen_tokens for tokens in domains.values())
    training = parts.watch.total - parts.watch.evaluating
    masked = config.model.name == MASKED
    return {
        "parameters": sum(p.numel() for p in parts.model.parameters() if p.requires_grad),
        "token_budget": sum(tokens.planned_tokens for tokens in domains.values()),
        "seen_tokens": seen,
        "domains": domains,
        "evaluation": _domain_losses(parts.evaluation, None if masked else shardset),
        "learning_curve": tuple(parts.evaluation.curve),
        "seconds": round(parts.watch.total, 3),
        "train_seconds": round(training, 3),
        "tokens_per_second": round(seen / training, 1) if training > 0 else 0.0,
    }


def _domain_tokens(config: RunConfig, parts: _Parts) -> dict[str, DomainTokens]:
    dataset, length = parts.dataset, config.max_seq_len
    seen, unique = parts.counter.totals()
    planned = _planned_samples(config, parts)
    result = {}
    for index, domain in enumerate(dataset.domains):
        available = int(dataset.samples_per_stream[index]) * length
        share = float(dataset.streams[index].proportion)
        result[domain] = DomainTokens(
            proportion=min(share, 1.0),
            planned_tokens=round(planned * share) * length,
            seen_tokens=seen[domain],
            unique_tokens=unique[domain],
            available_tokens=available,
            epochs=seen[domain] / available,
        )
    return result


def _planned_samples(config: RunConfig, parts: _Parts) -> int:
    """Turn `max_duration` into samples."""
    amount = int(config.max_duration.rstrip("abcdefghijklmnopqrstuvwxyz"))
    unit = config.max_duration[len(str(amount)) :]
    samples = {
        "tok": amount / config.max_seq_len,
        "sp": amount,
        "ba": amount * config.global_train_batch_size,
        "ep": amount * int(parts.dataset.epoch_size),
    }
    return math.ceil(samples[unit])


def _domain_losses(evaluation: EvaluationLog, shardset: ShardSet | None) -> dict[str, DomainLoss]:
    return {
        domain: DomainLoss(
            loss_nats=loss,
            standard_error=error,
            tokens=tokens,
            perplexity=math.exp(loss),
            bits_per_byte=_bits_per_byte(loss, domain, shardset),
        )
        for domain, (loss, error, tokens) in evaluation.last.items()
    }


def _bits_per_byte(loss: float, domain: str, shardset: ShardSet | None) -> float | None:
    if shardset is None or domain not in shardset.domains:
        return None
    split = shardset.domains[domain][VALIDATION]
    return loss / math.log(2) * split.tokens / split.text_bytes if split.text_bytes else None
