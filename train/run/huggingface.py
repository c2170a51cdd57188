"""Models as Hugging Face folders, written while a run trains."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from composer import Callback, Event, Logger, State
from composer.models import HuggingFaceModel
from composer.utils import create_interval_scheduler, dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from mixscale.contracts.atomic import temporary_beside

Precision = Literal["float32", "bfloat16", "float16"]
_PREFIX = "model."
"""Composer's wrapper holds the transformers model under this name."""


class HuggingFaceCheckpointer(Callback):
    """Writes the model as `SAVE_FOLDER/huggingface/ba<batch>`, as LLM Foundry's callback does.

    A folder is there whole or not at all; one of the same name is replaced.
    """

    def __init__(
        self,
        save_folder: str,
        save_interval: str | int = "1dur",
        precision: Precision = "float32",
        huggingface_folder_name: str = "ba{batch}",
    ) -> None:
        if "://" in save_folder:
            raise ValueError(
                f"save_folder is {save_folder!r}; it writes to a folder of this machine alone"
            )
        if precision not in get_args(Precision):
            raise ValueError(f"precision is {precision!r}; expected one of {get_args(Precision)}")
        try:
            huggingface_folder_name.format(batch=1)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"huggingface_folder_name is {huggingface_folder_name!r}; of what stands in braces "
                "only {batch} is known"
            ) from error
        self.folder = Path(save_folder)
        self.name = huggingface_folder_name
        self.precision: Precision = precision
        self._is_due = create_interval_scheduler(save_interval, include_end_of_training=True)
        self._last: int | None = None

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        """Write the model when it is time."""
        self._save(state, Event.BATCH_CHECKPOINT)

    def epoch_checkpoint(self, state: State, logger: Logger) -> None:
        """Write the model when it is time."""
        self._save(state, Event.EPOCH_CHECKPOINT)

    def _save(self, state: State, event: Event) -> None:
        batch = int(state.timestamp.batch)
        if self._last == batch or not self._is_due(state, event):
            return
        self._last = batch
        # Every rank takes part: with FSDP each has a piece of the weights.
        weights = get_model_state_dict(
            state.model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
        )
        if dist.get_global_rank() == 0:
            wrapper = state.model.module if state.is_model_ddp else state.model
            assert isinstance(wrapper, HuggingFaceModel)
            assert isinstance(wrapper.model, PreTrainedModel)
            model, tokenizer = wrapper.model, wrapper.tokenizer
            folder = (
                Path(str(self.folder).replace("{run_name}", state.run_name))
                / "huggingface"
                / self.name.format(batch=batch)
            )
            write_folder(type(model), model.config, weights, tokenizer, folder, self.precision)


def write_folder(
    kind: type[PreTrainedModel],
    config: PretrainedConfig,
    weights: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase | None,
    folder: Path,
    precision: Precision,
) -> None:
    """Write config, weights (safetensors) and tokenizer; the folder appears when all are there.

    Args:
        kind: The transformers class.
        config: Its config.
        weights: The weights by their names in Composer's wrapper.
        tokenizer: Goes into the folder when there is one.
        folder: Replaced when it exists.
        precision: Type of the floating-point weights in the file.
    """
    dtype = getattr(torch, precision)
    named = {
        name.removeprefix(_PREFIX): value.to(dtype) if value.is_floating_point() else value
        for name, value in weights.items()
    }
    # The config names the type that the model has, so it is one of that type, without memory.
    with torch.device("meta"):
        model = kind(copy.deepcopy(config)).to(dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder)
    try:
        model.save_pretrained(temporary, state_dict=named, safe_serialization=True)
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
