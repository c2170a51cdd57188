"""What a config asks for, tried before the first run of it starts."""

from __future__ import annotations

import torch

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.run.components import (
    ALGORITHMS,
    CALLBACKS,
    LOGGERS,
    all_named,
    build_all,
    build_optimizer,
    check,
    check_compile,
)
from mixscale.train.run.memory import MemoryNeed
from mixscale.train.run.memory_trace import trace_memory
from mixscale.train.run.model import load_tokenizer, model_config
from mixscale.train.run.remote_checkpoints import check_remote_checkpoints
from mixscale.train.run.scheduler_check import check_scheduler


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
    made = model_config(config.model, config.max_seq_len, tokenizer)
    if "gated_linear_units" in config.algorithms and made.model_type != "bert":
        raise UserError(
            "algorithms.gated_linear_units: Composer has it for `bert` alone, and the model is "
            f"{made.model_type!r}; remove it"
        )
    check_compile(config.compile_config)
    build_optimizer(config.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    check_scheduler(config)
    build_all("algorithms", ALGORITHMS, _ours(config.algorithms))
    build_all("callbacks", CALLBACKS, _ours(config.callbacks))
    for kind, registry, wanted in (
        ("algorithms", ALGORITHMS, config.algorithms),
        ("callbacks", CALLBACKS, config.callbacks),
        ("loggers", LOGGERS, config.loggers),
    ):
        for named in all_named(wanted):
            check(kind, registry, named)
    check_remote_checkpoints(config)
    return trace_memory(config, tokenizer, on_gpu)


def _ours(wanted: dict[str, dict | None]) -> dict[str, dict | None]:
    return {name: arguments for name, arguments in wanted.items() if "." not in name}
