"""The Composer trainer of a run with the data, model and callbacks that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from composer import Callback, Trainer
from composer.models import HuggingFaceModel
from composer.utils import dist, reproducibility

from mixscale.contracts.errors import UserError
from mixscale.train.config import MASKED, RunConfig
from mixscale.train.data.dataset import DomainDataset
from mixscale.train.data.loaders import dataset_of, evaluators, train_loader
from mixscale.train.run.callbacks import (
    DivergenceGuard,
    EvaluationLog,
    ProgressReport,
    StopWatch,
    TokenCounter,
)
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
from mixscale.train.run.device import choose_device, choose_precision, set_allocator
from mixscale.train.run.model import build_model, load_tokenizer


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that is ready to train, with what measures it."""

    model: HuggingFaceModel
    dataset: DomainDataset
    trainer: Trainer
    counter: TokenCounter
    evaluation: EvaluationLog
    watch: StopWatch


def prepare_run(
    config: RunConfig, listener: Callable[[int], None] | None, listener_interval: float
) -> PreparedRun:
    """Make everything that a run consists of.

    Args:
        config: The run.
        listener: Called with the tokens done, after batches.
        listener_interval: Seconds between two of these calls, at least.

    Raises:
        UserError: The config asks for what is not there.
    """
    set_allocator(config)
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
    measuring: list[Callback] = [counter, evaluation, watch, DivergenceGuard()]
    if listener is not None:
        measuring.append(ProgressReport(listener, listener_interval))
    trainer = Trainer(
        model=model,
        train_dataloader=loader,
        eval_dataloader=evaluation_loaders,
        optimizers=build_optimizer(config.optimizer, model.parameters()),
        schedulers=build("scheduler", SCHEDULERS, config.scheduler),
        algorithms=build_all("algorithms", ALGORITHMS, config.algorithms),
        callbacks=[*measuring, *build_all("callbacks", CALLBACKS, config.callbacks)],
        loggers=build_all("loggers", LOGGERS, config.loggers),
        max_duration=config.max_duration,
        device=device,
        precision=choose_precision(config, device),
        # Batches of texts and of masked language models differ in how many tokens they predict.
        accumulate_train_batch_on_tokens=config.model.name == MASKED or dataset.holds_text,
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
    return PreparedRun(
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
    """Refuse a checkpoint past the end; a run that resumes its own last checkpoint has ended."""
    limit = trainer.state.max_duration
    if config.load_path and not config.autoresume and limit and trainer.state.timestamp >= limit:
        raise UserError(
            f"load_path: the checkpoint is at {trainer.state.timestamp.get(limit.unit)} and "
            f"max_duration is {limit}: nothing is left to do. Raise max_duration, or start a new "
            "run from its weights with `load_weights_only: true`"
        )
