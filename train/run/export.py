"""Composer checkpoints turned into Hugging Face folders."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from composer.models import HuggingFaceModel
from composer.models.huggingface import get_hf_config_from_composer_state_dict
from composer.utils.checkpoint import safe_torch_load

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RUN_YAML
from mixscale.train.config import load_run_config
from mixscale.train.run.checkpoints import LATEST, checkpoint_folder
from mixscale.train.run.huggingface import Precision, write_folder


def export_checkpoint(
    source: str | Path, out: str | Path, precision: Precision = "float32"
) -> Path:
    """Write the model of a Composer checkpoint as a Hugging Face folder.

    Args:
        source: A checkpoint file, a folder of checkpoints (the latest is taken), or the folder of a
            run that saved some.
        out: The folder to write; must not exist.
        precision: Type of the weights in the file.

    Returns:
        The checkpoint that was read.

    Raises:
        UserError: There is no checkpoint, it is of another kind of model, or `out` exists.
    """
    folder = Path(out)
    if folder.exists():
        raise UserError(f"{folder}: exists already; choose a new folder or remove it")
    checkpoint = _find_checkpoint(Path(source))
    content = _read(checkpoint)
    with tempfile.TemporaryDirectory() as temporary:
        saved = content["state"]["integrations"]["huggingface"]
        tokenizer = HuggingFaceModel.load_huggingface_tokenizer_from_saved_state(
            saved, tokenizer_save_dir=temporary
        )
        config = get_hf_config_from_composer_state_dict(content)
        with torch.device("meta"):
            model = HuggingFaceModel.load_huggingface_model_from_saved_state(
                saved, content, None, {"_name_or_path": config.name_or_path}
            )
        weights = content["state"]["model"]
        write_folder(type(model), config, weights, tokenizer, folder, precision)
    return checkpoint


def _find_checkpoint(source: Path) -> Path:
    if source.is_file():
        return source
    folder = source
    if (source / RUN_YAML).is_file():
        saved = checkpoint_folder(load_run_config(source / RUN_YAML))
        if saved is None:
            raise UserError(
                f"{source}: this run saved no checkpoints to this machine (`save_folder` in its "
                f"{RUN_YAML}); give a checkpoint file"
            )
        folder = saved
    if not (folder / LATEST).is_file():
        raise UserError(f"{folder}: no checkpoint ({LATEST}) is here; give a checkpoint file")
    return folder / LATEST


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        content = safe_torch_load(checkpoint)
        content["state"]["integrations"]["huggingface"]
    except Exception as error:  # torch.load raises what the bytes make of it
        raise UserError(
            f"{checkpoint}: not a Composer checkpoint of a transformers model "
            f"({type(error).__name__}: {str(error).strip().splitlines()[:1]})"
        ) from error
    return content
