"""The failures of a run that its record names."""

from __future__ import annotations

import torch

from mixscale.contracts.run_record import Status
from mixscale.train.config import RunConfig
from mixscale.train.data.dataset import ShardError
from mixscale.train.run.callbacks import Diverged

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",  # PyTorch's allocator on a CPU
    "not enough memory",
    "bad_alloc",
    "bad alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def failure_of(error: Exception, config: RunConfig) -> tuple[Status, str] | None:
    """Classify the error that ended a run.

    Returns:
        The status with what happened and what to do; None for an error that is a bug.
    """
    if isinstance(error, Diverged):
        return "diverged", str(error)
    if isinstance(error, ShardError):
        # PyTorch puts the traceback of a loader's worker process into the message.
        return "data_error", str(error).rpartition("ShardError: ")[2]
    if is_out_of_memory(error):
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return "out_of_memory", f"{reason} {_less_memory(config)}"
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or in the process."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def _less_memory(config: RunConfig) -> str:
    size = config.device_train_microbatch_size
    if not isinstance(size, int):
        size = config.global_train_batch_size
    return (
        f"(device_train_microbatch_size is {size} here: a smaller one computes the same in less "
        f"memory; device_eval_batch_size is {config.device_eval_batch_size})"
    )
