"""A model of transformers that answers lm-eval's requests."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.task import Task
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from mixscale.contracts.errors import UserError
from mixscale.train.config import TokenizerConfig
from mixscale.train.evaluate.memory import batch_size_for, check_model_fits, trace_answers
from mixscale.train.run.hub import load
from mixscale.train.run.model import load_tokenizer

_CONTEXT_LENGTHS = ("n_positions", "max_position_embeddings", "n_ctx")
_LONGEST = 2048
"""Tokens that lm-eval gives a model whose config names no number."""
_DTYPE = (
    "dtype" if "dtype" in inspect.signature(PretrainedConfig.__init__).parameters else "torch_dtype"
)
"""What transformers calls the type of the weights, by its version."""
_GENERATED = 256
"""Tokens that a task generates at most when it does not say, in lm-eval."""


_Base: Any = HFLM
"""lm-eval registers its models by a decorator that hides their type."""


class LanguageModel(_Base):
    """lm-eval's own model for transformers, which names what it cannot answer and counts cuts."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        super().__init__(
            pretrained=model, tokenizer=tokenizer, batch_size=batch_size, backend="causal"
        )
        self.cut = 0
        """Requests whose beginning was left out, since the model does not see so far."""
        self.asked = 0

    @property
    def max_gen_toks(self) -> int:
        """Tokens that are generated where a task does not say."""
        return min(_GENERATED, self.max_length // 2)

    def use_batch_size(self, size: int) -> None:
        """Answer so many items at a time."""
        self.batch_size_per_gpu = size

    def check_length(self, name: str, task: Task) -> None:
        """Refuse a task that generates more than the model can look at.

        Raises:
            UserError: It does.
        """
        if task.OUTPUT_TYPE != "generate_until":
            return
        given = task.get_config("generation_kwargs") or {}
        wanted: Any = normalize_gen_kwargs(given, self.max_gen_toks)
        if wanted["max_gen_toks"] >= self.max_length:
            raise UserError(
                f"task {name}: generation_kwargs: it generates up to {wanted['max_gen_toks']} "
                f"tokens, and the model sees only {self.max_length}; give a smaller max_gen_toks "
                "in the task's YAML"
            )

    def _loglikelihood_tokens(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
        for text, context, continuation in requests:
            if not continuation or not context:
                raise UserError(
                    f"{text!r}: the tokenizer gives the answer no token of its own behind the "
                    "question, so that it has no likelihood; see target_delimiter of the task"
                )
            if len(continuation) > self.max_length:
                raise UserError(
                    f"an answer of {len(continuation)} tokens is longer than the {self.max_length} "
                    f"that the model sees: {str(text[1])[:80]!r}"
                )
            self._count(len(context) + len(continuation) > self.max_length + 1)
        return super()._loglikelihood_tokens(requests, *args, **kwargs)

    def tok_batch_encode(self, strings: Any, *args: Any, **kwargs: Any) -> Any:
        """Encode texts to go on from, counting those that are cut."""
        limit = kwargs.get("left_truncate_len")
        if limit:
            for text in strings:
                self._count(len(self.tok_encode(text)) > limit)
        return super().tok_batch_encode(strings, *args, **kwargs)

    def _count(self, is_cut: bool) -> None:
        self.asked += 1
        self.cut += is_cut


def choose_torch_device(device: str | None) -> torch.device:
    """Take the device that is named, or the GPU where there is one.

    Raises:
        UserError: There is no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device({"gpu": "cuda"}.get(device, device))
    except RuntimeError as error:
        raise UserError(f"device: {device!r} is unknown; take cpu, cuda or cuda:1") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device: {device!r}, but {torch.cuda.device_count()} GPUs are there")
    return chosen


def open_language_model(
    folder: Path,
    name: str,
    *,
    device: str | None = None,
    batch_size: int | None = None,
    tokenizer: str | None = None,
    places: int = 1,
) -> LanguageModel:
    """Load a causal model, once it is known to fit.

    Args:
        folder: A Hugging Face folder.
        name: Of the model, for messages.
        device: `cpu`, `cuda`, `cuda:1` ...; the GPU where there is one when absent.
        batch_size: Items at a time; by memory when absent.
        tokenizer: Folder of the tokenizer; the model's own when absent.
        places: How many models share the memory of the device.

    Raises:
        UserError: It is no causal model, does not fit into the memory, or the device is not there.
    """
    chosen = choose_torch_device(device)
    config = _read(AutoConfig.from_pretrained, folder, name)
    architecture = (config.architectures or [""])[0]
    if architecture.endswith("ForMaskedLM"):
        raise UserError(
            f"{name}: {architecture} fills gaps and gives a text no probability, which tasks ask "
            "for; mixscale evaluate MODEL SHARDSET measures its masked loss and accuracy"
        )
    # What is kept in half precision is slow on many processors.
    saved = getattr(config, _DTYPE, None) or torch.float32
    dtype = saved if chosen.type == "cuda" else torch.float32
    lengths = [getattr(config, key, None) for key in _CONTEXT_LENGTHS]
    length = min([size for size in lengths if isinstance(size, int)], default=_LONGEST)
    need = trace_answers(config, dtype, length, chosen)
    check_model_fits(need, name, chosen)
    model = _read(AutoModelForCausalLM.from_pretrained, folder, name, **{_DTYPE: dtype})
    loaded = load_tokenizer(TokenizerConfig(name=tokenizer or str(folder)))
    size = batch_size or batch_size_for(need, chosen, places)
    return LanguageModel(model.to(chosen).eval(), loaded, size)


def _read(make: Any, folder: Path, name: str, **arguments: Any) -> Any:
    try:
        return load(make, str(folder), **arguments)
    # Damaged files raise whatever their bytes make of it.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name}: cannot load a model from {folder}: {first}") from error
