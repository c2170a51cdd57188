"""One run that a person asks for with a `run.yaml`."""

from __future__ import annotations

import os
from pathlib import Path

from mixscale.contracts.run_record import RunRecord, run_folder
from mixscale.train.config import load_run_config
from mixscale.train.run.run_id import content_of, run_id


def train_file(run_yaml: str | Path, out: str | Path | None = None) -> tuple[RunRecord, Path]:
    """Train what a `run.yaml` describes.

    Args:
        run_yaml: The config; relative paths in it count from the current folder, as in LLM Foundry.
        out: Folder that gets `runs/<run_id>/`; the folder of `run_yaml` by default.

    Returns:
        The record, and the folder that holds it as `result.json`.

    Raises:
        UserError: The config is wrong or its data is missing.
    """
    config = load_run_config(run_yaml)
    name = run_id(config, content_of(config), config.run_name or Path(run_yaml).stem)
    folder = run_folder(Path(run_yaml).resolve().parent if out is None else out, name)
    # Composer imports torch's compiler, which would start processes that few runs need.
    os.environ.setdefault("TORCH_WARM_POOL", "0")
    # It takes seconds to import, too: mistakes in the file are found before.
    from mixscale.train.run.training import train

    return train(config, folder), folder
