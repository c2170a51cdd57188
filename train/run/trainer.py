"""The Composer trainer of a run with the data, model and callbacks that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from composer import Callback, Trainer
from composer.models import HuggingFaceModel
from composer.utils import dist, reproducibility

from mixscale.contracts.errors import UserError
from mixscale.train.config import MASKED, RunConfig
from mixscale.train.data.dataset import DomainDataset
from mixscale.train.data.loaders import dataset_of, evaluators, train_loader
from mixscale.train.run.callbacks import (
    CheckpointOwner,
    DivergenceGuard,
    EvaluationLog,
    ProgressReport,
    StopWatch,
    TokenCounter,
)
from mixscale.train.run.checkpoints import check_checkpoints, remove_unfinished
from mixscale.train.run.checks import check_run
from mixscale.train.run.components import (
    ALGORITHMS,
    CALLBACKS,
    LOGGERS,
    SCHEDULERS,
    build,
    build_all,
    build_optimizer,
    check_compile,
)
from mixscale.train.run.device import choose_device, choose_precision, set_allocator
from mixscale.train.run.machine import is_sharded
from mixscale.train.run.model import build_model, load_tokenizer
from mixscale.train.run.remote_checkpoints import (
    LATEST,
    remote_folder,
    resumes_remotely,
    without_old_download,
)
from mixscale.train.run.resume import identity_of
from mixscale.train.run.scheduler_check import check_scheduler


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that is ready to train, with what measures it."""

    model: HuggingFaceModel
    dataset: DomainDataset
    """Of the training data."""
    datasets: tuple[DomainDataset, ...]
    """That one, and those of the validation domains."""
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
    check_run(config, gpus=0 if device == "cpu" else None)
    identity = identity_of(config)
    sharding = config.fsdp_config if is_sharded(config, dist.get_world_size()) else None
    if dist.get_world_size() > 1 or sharding:
        # In a single process every collective would cost time at every batch, for nothing.
        dist.initialize_dist(device, timeout=config.dist_timeout)
    if dist.get_global_rank() == 0:
        remove_unfinished(config)
    check_checkpoints(config, identity)
    check_compile(config.compile_config)
    check_scheduler(config)
    tokenizer = load_tokenizer(config.tokenizer)
    # The data comes before the seed is set, so that the weights do not depend on the data.
    loader = train_loader(config, tokenizer)
    evaluation_loaders = evaluators(config, tokenizer)
    reproducibility.seed_all(config.seed)
    model = build_model(config.model, config.max_seq_len, tokenizer)
    dataset = dataset_of(loader)
    evaluation_datasets = [dataset_of(evaluator.dataloader) for evaluator in evaluation_loaders]
    counter = TokenCounter(dataset, config.max_seq_len)
    evaluation, watch = EvaluationLog(), StopWatch()
    # `load_path` may be any run's, but only until this one has a checkpoint of its own; those on
    # this machine were looked at before.
    remote = remote_folder(config)
    owner = CheckpointOwner(
        identity,
        resumes=config.autoresume and (not config.load_path or resumes_remotely(config)),
        place="the checkpoint" if remote is None else f"{remote}/{LATEST}",
    )
    measuring: list[Callback] = [owner, counter, evaluation, watch, DivergenceGuard()]
    if listener is not None:
        measuring.append(ProgressReport(listener, listener_interval))
    with without_old_download(config):
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
            # What was uploaded after the checkpoint that is resumed is this run's own.
            save_overwrite=config.save_overwrite or (remote is not None and config.autoresume),
            parallelism_config={"fsdp": sharding} if sharding else None,
            **config.model_dump(
                include={
                    "seed", "run_name", "eval_interval", "eval_subset_num_batches",
                    "device_train_microbatch_size", "compile_config", "save_folder",
                    "save_interval", "save_num_checkpoints_to_keep", "load_path",
                    "load_weights_only", "load_strict_model_weights", "autoresume",
                    "progress_bar", "log_to_console", "console_log_interval", "python_log_level",
                    "dist_timeout",
                }
            ),
        )  # fmt: skip
    owner.check_has_compared(trainer.state)
    _check_left_to_do(config, trainer)
    return PreparedRun(
        model=model,
        dataset=dataset,
        datasets=(dataset, *evaluation_datasets),
        trainer=trainer,
        counter=counter,
        evaluation=evaluation,
        watch=watch,
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
