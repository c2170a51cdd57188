"""The memory that a model needs to answer, and how many items fit into a batch."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, PretrainedConfig

from mixscale.contracts.errors import UserError
from mixscale.train.run.memory import format_bytes, memory_of_machine
from mixscale.train.run.memory_trace import Tracker

_LOG = logging.getLogger(__name__)
_PROGRAM_BYTES = 600 * 2**20
"""Of CUDA and its libraries, or of Python's on a CPU."""
_ROOM = 0.8
"""Share of the memory that a batch size by memory uses."""
_LARGEST = {"cuda": 64, "cpu": 16}
"""More items at a time are no faster there."""


@dataclass(frozen=True, kw_only=True)
class AnswerMemory:
    """What a model takes, in bytes; traced without making a weight."""

    weights: int
    item: int | None
    """Of one item of the longest length; None where it cannot be traced."""
    length: int
    """Tokens of that item."""
    machine: int | None
    """What the device has; None when that is not known."""

    def needs(self, batch_size: int) -> int:
        """Add up what a batch needs."""
        return _PROGRAM_BYTES + self.weights + batch_size * (self.item or 0)


def trace_answers(
    config: PretrainedConfig, dtype: torch.dtype, length: int, device: torch.device
) -> AnswerMemory:
    """Trace a forward pass over one item and over two.

    Args:
        config: Of the model.
        dtype: Of its weights.
        length: Tokens of the longest item: those that the model can look at.
        device: Where it is to run.
    """
    machine = memory_of_machine()
    if device.type == "cuda":
        machine = torch.cuda.get_device_properties(device).total_memory
    weights, peaks = 0, []
    try:
        with FakeTensorMode(), Tracker() as tracker, torch.no_grad():
            model = AutoModelForCausalLM.from_config(config).to(dtype)
            weights = tracker.now
            for items in (1, 2):
                tracker.reset()
                tokens = torch.zeros((items, length), dtype=torch.int64)
                torch.log_softmax(model(tokens).logits.float(), dim=-1)
                peaks.append(tracker.peak.all)
    # What a model computes may depend on the content of its tensors.
    except Exception as error:
        _LOG.info("the memory of the model cannot be traced to its end: %s", error)
    item = peaks[1] - peaks[0] if len(peaks) == 2 else None
    return AnswerMemory(weights=weights, item=item, length=length, machine=machine)


def check_model_fits(need: AnswerMemory, name: str, device: torch.device) -> None:
    """Refuse a model that cannot answer a single item there.

    Raises:
        UserError: Gives the numbers.
    """
    if need.machine is None or need.needs(1) <= need.machine:
        return
    item = (
        "" if need.item is None else f", one item of {need.length} tokens {format_bytes(need.item)}"
    )
    kind, way = "machine", "take a machine with more memory, or a smaller model"
    if device.type == "cuda":
        kind, way = "GPU", "take a larger one, --device cpu, or a smaller model"
    raise UserError(
        f"{name}: the model needs about {format_bytes(need.needs(1))} and the {kind} has "
        f"{format_bytes(need.machine)}: weights {format_bytes(need.weights)}{item}, the program "
        f"{format_bytes(_PROGRAM_BYTES)}; {way}"
    )


def batch_size_for(need: AnswerMemory, device: torch.device, places: int = 1) -> int:
    """Choose how many items are answered at a time: a power of two that surely fits.

    Args:
        need: Of the model.
        device: Where it runs.
        places: How many models share the memory of the device.
    """
    size = _LARGEST.get(device.type, 8)
    if need.machine is not None:
        while size > 1 and places * need.needs(size) > _ROOM * need.machine:
            size //= 2
    return size
