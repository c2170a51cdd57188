"""The memory of a run traced on tensors without content: no weight is made, nothing computed."""

from __future__ import annotations

import logging
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.evaluate.loss import token_losses
from mixscale.train.run.components import build_optimizer
from mixscale.train.run.device import choose_precision
from mixscale.train.run.memory import MemoryNeed, memory_of_machine
from mixscale.train.run.model import model_config, transformers_model

_LOG = logging.getLogger(__name__)
_PROGRAM_BYTES = 64 * 2**20
"""Of a run's process on a CPU that no other shares: buffers of libraries, the data."""
_CONTEXT_BYTES = 600 * 2**20
"""Of CUDA and its libraries in each process; between 300 and 800 MiB by GPU and version."""
_SMALL_BYTES = 32 * 2**20
"""glibc gives larger blocks back as they are freed; smaller ones it keeps (mallopt(3),
M_MMAP_THRESHOLD)."""
_HEAP_FACTOR = 2.0
"""Memory in use to small blocks in it: 1.8 to 2.6 in runs of 0.2 to 86 million parameters."""
_CONTENT: Any = torch.ops.aten._local_scalar_dense.default  # pyright: ignore[reportAttributeAccessIssue]
"""What PyTorch calls to ask a tensor for its content."""
_CHOSEN: Any = torch.ops.aten.nonzero.default  # pyright: ignore[reportAttributeAccessIssue]
"""What PyTorch calls to find the tokens that an expert gets."""
_SPLIT: Any = torch.ops.aten.split_with_sizes.default  # pyright: ignore[reportAttributeAccessIssue]
"""What PyTorch calls to cut sorted tokens into those of each expert."""
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
"""Names that transformers has for the number of experts in a layer."""
_COPYING_ALGORITHMS = {"ema", "swa"}
"""They keep a second copy of the weights."""


@dataclass(frozen=True, kw_only=True)
class _Peak:
    """Most that was there at once, in bytes."""

    all: int
    small: int
    """In small blocks, at that moment."""


def trace_memory(
    config: RunConfig, tokenizer: PreTrainedTokenizerFast, on_gpu: bool
) -> MemoryNeed | None:
    """Trace two steps of training and two of evaluation, and add up what is there at once.

    PyTorch's fake tensors have sizes and no content, so a model of any size is traced in seconds.
    PyTorch's own `MemTracker` counts the same and takes 20 times as long.

    Args:
        config: The run, on one device.
        tokenizer: Its tokenizer.
        on_gpu: Whether it will run on a GPU. Its kernels are traced as those of the processor,
            whose autocast is much the same.

    Returns:
        What the run needs; None when the model cannot be traced at all.

    Raises:
        UserError: The model or the optimizer cannot be made.
    """
    shared = 0 if on_gpu else resident_bytes()
    trace = _Trace(config, tokenizer, on_gpu)
    try:
        trace.run()
    except UserError:
        raise
    # What a model computes may depend on the content of its tensors (experts that are chosen).
    except Exception as error:
        _LOG.info("the memory of the run cannot be traced to its end: %s", error)
    if not trace.weights:
        return None
    copies = len(_COPYING_ALGORITHMS & set(config.algorithms)) * trace.weights
    peaks = [peak for peak in (trace.training, trace.evaluation) if peak is not None]
    lost = max(((_HEAP_FACTOR - 1) * (peak.small - trace.small_state) for peak in peaks), default=0)
    return MemoryNeed(
        parameters=trace.parameters,
        on_gpu=on_gpu,
        microbatch=trace.microbatch,
        evaluation_batch=config.device_eval_batch_size,
        sequence_length=config.max_seq_len,
        weights=trace.weights,
        gradients=trace.gradients,
        optimizer=trace.optimizer + copies,
        training=None if trace.training is None else trace.training.all + copies,
        evaluation=None if trace.evaluation is None else trace.evaluation.all + copies,
        fragments=0 if on_gpu else max(round(lost), 0),
        program=_CONTEXT_BYTES if on_gpu else _PROGRAM_BYTES,
        shared=shared,
        machine=_memory_of_gpu() if on_gpu else memory_of_machine(),
    )


class _Trace:
    """The steps that are traced, and what they needed."""

    def __init__(self, config: RunConfig, tokenizer: PreTrainedTokenizerFast, on_gpu: bool) -> None:
        # An epoch may have fewer samples than a batch.
        epoch = config.train_loader.dataset.epoch_size or config.global_train_batch_size
        self._batch_size = min(config.global_train_batch_size, epoch)
        asked = config.device_train_microbatch_size
        self.microbatch = min(asked if isinstance(asked, int) else epoch, self._batch_size)
        self.parameters = self.weights = self.gradients = self.optimizer = 0
        self.small_state = 0
        self.training: _Peak | None = None
        self.evaluation: _Peak | None = None
        self._config = config
        self._made = model_config(config.model, config.max_seq_len, tokenizer)
        self._on_gpu = on_gpu
        self._outputs: Any = None

    def run(self) -> None:
        """Make the model and its optimizer, train, evaluate."""
        with FakeTensorMode(), Tracker(_experts(self._made)) as tracker:
            # Without Composer's wrapper: it copies its metrics, which fake tensors do not survive.
            model = transformers_model(self._config.model, self._made, pretrained=False)
            model.train()
            optimizer = self._state(model, tracker)
            tracker.reset()
            for _ in range(2):
                if self._batch_size == self.microbatch:
                    optimizer.zero_grad()
                self._train(model)
            optimizer.step()
            self.training = tracker.peak
            tracker.reset()
            if self._config.eval_loader:
                for _ in range(2):
                    self._evaluate(model)
            self.evaluation = tracker.peak
            self._outputs = None

    def _state(self, model: PreTrainedModel, tracker: Tracker) -> torch.optim.Optimizer:
        """Make what stays all the time; an optimizer's states come with its first step."""
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self.parameters = sum(weight.numel() for weight in trained)
        self.weights = tracker.now
        optimizer = build_optimizer(self._config.optimizer, trained)
        for weight in trained:
            weight.grad = torch.empty_like(weight)
        self.gradients = tracker.now - self.weights
        optimizer.step()
        self.optimizer = tracker.now - self.weights - self.gradients
        self.small_state = tracker.small
        return optimizer

    def _train(self, model: PreTrainedModel) -> None:
        """Go forward and backward; Composer keeps the outputs until the next are there."""
        tokens, mask = self._batch(self.microbatch)
        with self._autocast():
            self._outputs = model(input_ids=tokens, attention_mask=mask, labels=tokens.clone())
        self._outputs["loss"].backward()

    def _evaluate(self, model: PreTrainedModel) -> None:
        tokens, mask = self._batch(self._config.device_eval_batch_size)
        with torch.no_grad(), self._autocast():
            self._outputs = model(input_ids=tokens, attention_mask=mask)
        token_losses(self._outputs["logits"], tokens)

    def _batch(self, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (samples, self._config.max_seq_len)
        return torch.zeros(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.bool)

    def _autocast(self) -> torch.autocast:
        precision = "fp32"
        if self._on_gpu:
            precision = choose_precision(self._config, "gpu")
        # Of both half precisions a value has two bytes.
        return torch.autocast("cpu", torch.bfloat16, enabled=precision != "fp32")


class Tracker(TorchDispatchMode):
    """Counts the bytes of all tensors that are there.

    Args:
        experts: Of a layer of a mixture of experts. Tensors without content do not tell which
            tokens an expert gets; each is taken to get equally many, as it is trained to.
    """

    def __init__(self, experts: int | None = None) -> None:
        super().__init__()
        self._experts = experts
        self.now = 0
        self.small = 0
        """Of these, in small blocks."""
        self.peak = _Peak(all=0, small=0)
        self._known: set[int] = set()

    def reset(self) -> None:
        """Look for the peak from here on."""
        self.peak = _Peak(all=self.now, small=self.small)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do what is asked for and count the tensors that come out."""
        if func is _CONTENT:
            # Asked for the content, say what suits a mask of samples without padding, a first step.
            return True if args[0].dtype == torch.bool else 1
        if self._experts is not None:
            func, args = self._shared_out(func, args, self._experts)
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, torch.Tensor):
                self._count(value.untyped_storage())
        if self.now > self.peak.all:
            self.reset()
        return result

    def _shared_out(self, func: Any, args: Any, experts: int) -> tuple[Any, Any]:
        """Answer what depends on the content: each expert has its share of the tokens."""
        if func is _CHOSEN:
            asked = args[0]
            # Which experts have tokens at all, or which tokens one of them has.
            chosen = experts if asked.numel() == experts else -(-asked.numel() // experts)
            return _numbers, (chosen, asked.ndim)
        if func is _SPLIT and sum(args[1]) != args[0].shape[_dimension(args)]:
            whole, parts = args[0].shape[_dimension(args)], len(args[1])
            sizes = [whole // parts + (number < whole % parts) for number in range(parts)]
            return func, (args[0], sizes, *args[2:])
        return func, args

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self._add(size)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._add(-size)

    def _add(self, size: int) -> None:
        self.now += size
        if abs(size) < _SMALL_BYTES:
            self.small += size


def _numbers(rows: int, columns: int) -> torch.Tensor:
    return torch.zeros((rows, columns), dtype=torch.int64)


def _dimension(arguments: Any) -> int:
    return arguments[2] if len(arguments) > 2 else 0


def _experts(made: PretrainedConfig) -> int | None:
    """Count the experts of a layer; None for a model without."""
    counts = (getattr(made, name, None) for name in _EXPERTS)
    return next((count for count in counts if isinstance(count, int) and count > 1), None)


def resident_bytes() -> int:
    """Return what this process has in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _memory_of_gpu() -> int | None:
    """Return the memory of the smallest GPU."""
    sizes = [
        torch.cuda.get_device_properties(number).total_memory
        for number in range(torch.cuda.device_count())
    ]
    return min(sizes, default=None)
