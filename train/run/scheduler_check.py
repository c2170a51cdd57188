"""A scheduler asked for learning rates before the run that it is for."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from composer.core import State, Time, Timestamp
from composer.devices import DeviceCPU

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.run.components import SCHEDULERS, build

_BATCHES = 10**9
"""How many an epoch has is not known without the data; none can be too few so."""


def check_scheduler(config: RunConfig) -> None:
    """Ask a run's scheduler for its rates at the beginning and half-way.

    A scheduler compares units and values only then.

    Raises:
        UserError: It is unknown, does not take its arguments, or has no rate to give.
    """
    scheduler = build("scheduler", SCHEDULERS, config.scheduler)
    whole = Time.from_input(config.max_duration)
    state = State(
        model=torch.nn.Linear(1, 1),
        rank_zero_seed=0,
        run_name="check",
        device=DeviceCPU(),
        max_duration=whole,
        optimizers=torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0),
        dataloader=iter([None]),
        dataloader_label="train",
        dataloader_len=1 if config.max_duration.endswith("ep") else _BATCHES,
    )
    for done in (0, int(whole.value) // 2):
        state.timestamp = _after(whole, done)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rate = scheduler(state)
            problem = None if math.isfinite(rate) else f"its rate is {rate}"
        # A scheduler, which may be the user's own, raises what it likes about its arguments.
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        if problem is not None:
            raise UserError(
                f"scheduler {config.scheduler.name!r}: {config.scheduler.arguments}: {problem} "
                f"(max_duration is {config.max_duration}; times as a share of the run, such as "
                "0.05dur, suit any)"
            )


def _after(whole: Time[int], done: int) -> Timestamp:
    """Say that so much of a run is done, in the unit of its duration."""
    counts: dict[str, Any] = {whole.unit.name.lower(): done}
    return Timestamp(**counts)
