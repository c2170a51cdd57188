"""What a config asks for, tried before the first run of it starts."""

from __future__ import annotations

import warnings

import torch
from composer.core import State
from composer.devices import DeviceCPU

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.run.components import (
    ALGORITHMS,
    CALLBACKS,
    LOGGERS,
    SCHEDULERS,
    all_named,
    build,
    build_all,
    build_optimizer,
    check,
    check_compile,
)
from mixscale.train.run.memory import MemoryNeed
from mixscale.train.run.memory_trace import trace_memory
from mixscale.train.run.model import load_tokenizer, model_config


def preflight(config: RunConfig, on_gpu: bool = False) -> MemoryNeed | None:
    """Make what a run is made of, its data and its weights aside.

    Loggers and components of the user's own are not made, only their arguments compared: making
    one may open a connection or a file.

    Args:
        config: The run.
        on_gpu: Whether it will train on a GPU.

    Returns:
        The memory that the run needs, where that can be traced.

    Raises:
        UserError: The tokenizer or the model is not there, or a component is unknown, or does not
            take its arguments.
    """
    tokenizer = load_tokenizer(config.tokenizer)
    model_config(config.model, config.max_seq_len, tokenizer)
    check_compile(config.compile_config)
    optimizer = build_optimizer(config.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    _try_scheduler(config, optimizer)
    build_all("algorithms", ALGORITHMS, _ours(config.algorithms))
    build_all("callbacks", CALLBACKS, _ours(config.callbacks))
    for kind, registry, wanted in (
        ("algorithms", ALGORITHMS, config.algorithms),
        ("callbacks", CALLBACKS, config.callbacks),
        ("loggers", LOGGERS, config.loggers),
    ):
        for named in all_named(wanted):
            check(kind, registry, named)
    return trace_memory(config, tokenizer, on_gpu)


def _ours(wanted: dict[str, dict | None]) -> dict[str, dict | None]:
    return {name: arguments for name, arguments in wanted.items() if "." not in name}


def _try_scheduler(config: RunConfig, optimizer: torch.optim.Optimizer) -> None:
    """Ask the scheduler for the first learning rate: it compares units only then."""
    scheduler = build("scheduler", SCHEDULERS, config.scheduler)
    state = State(
        model=torch.nn.Linear(1, 1),
        rank_zero_seed=0,
        run_name="preflight",
        device=DeviceCPU(),
        max_duration=config.max_duration,
        optimizers=optimizer,
        # How many batches an epoch has is not known without the data; none can be too few so.
        dataloader=iter([None]),
        dataloader_label="train",
        dataloader_len=1 if config.max_duration.endswith("ep") else 10**9,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler(state)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"scheduler {config.scheduler.name!r}: {error} (max_duration is {config.max_duration}; "
            "times as a share of the run, such as 0.05dur, suit any)"
        ) from error
