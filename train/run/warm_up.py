"""How long the warm-up of a run is against the run."""

from __future__ import annotations

import re

from mixscale.contracts.config import format_tokens
from mixscale.train.config import RunConfig


def warm_up_warning(config: RunConfig) -> str | None:
    """Warn when the learning rate is still rising as a run ends.

    Returns:
        The warning; None when the warm-up is shorter than the run, or their units do not compare.
    """
    written = config.scheduler.arguments.get("t_warmup")
    warm_up, whole = (
        None if written is None else _tokens(str(written), config),
        _tokens(config.max_duration, config),
    )
    if warm_up is None or whole is None or warm_up < whole:
        return None
    return (
        f"scheduler.t_warmup: {written} is not shorter than the run ({config.max_duration}, "
        f"{format_tokens(whole)} tokens): the learning rate never reaches {_rate(config)}"
    )


def _rate(config: RunConfig) -> str:
    rate = config.optimizer.arguments.get("lr")
    return "its value" if rate is None else f"lr {rate:g}" if _is_number(rate) else f"lr {rate}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _tokens(time: str, config: RunConfig) -> float | None:
    """Turn a time into tokens; an epoch is known when `epoch_size` is given."""
    found = re.fullmatch(r"([0-9.]+)(tok|sp|ba|ep|dur)", time)
    if found is None:
        return None
    amount, unit = float(found[1]), found[2]
    if unit == "tok":
        return amount
    if unit == "dur":
        whole = _tokens(config.max_duration, config)
        return None if whole is None else amount * whole
    samples: dict[str, float | None] = {
        "sp": 1,
        "ba": config.global_train_batch_size,
        "ep": config.train_loader.dataset.epoch_size,
    }
    each = samples[unit]
    return None if each is None else amount * each * config.max_seq_len
