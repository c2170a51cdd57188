"""One run that a person asks for with a `run.yaml`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import ENDED, RESULT, RunRecord, read_record, run_folder
from mixscale.train.config import RunConfig, load_run_config
from mixscale.train.run.checks import check_run
from mixscale.train.run.gpus import visible_gpus
from mixscale.train.run.machine import (
    changes_for_processor,
    devices_of_run,
    for_processor,
    is_trial_without_gpu,
    without_effect,
)
from mixscale.train.run.memory import too_much
from mixscale.train.run.run_id import content_of, run_id


def train_file(
    run_yaml: str | Path,
    out: str | Path | None = None,
    report: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    *,
    cpu: bool = False,
) -> tuple[RunRecord, Path]:
    """Train what a `run.yaml` describes, unless it has its record.

    Args:
        run_yaml: The config; relative paths in it count from the current folder, as in LLM Foundry.
        out: Folder that gets `runs/<run_id>/`; the folder of `run_yaml` by default.
        report: Gets a line when there is nothing to train, and for keys that have no effect here.
        cpu: Train on the processor, even what is written for GPUs: in fp32, not sharded. A file for
            several GPUs (`fsdp_config`) is trained so by itself where no GPU is visible.

    Returns:
        The record, and the folder that holds it as `result.json`. A record that is there already
        stays as it is, unless the run may go better another time: it died, lacked memory or data.

    Raises:
        UserError: The config is wrong, its data is missing, or a file for several GPUs does not fit
            into the memory of a machine without any.
    """
    config = load_run_config(run_yaml)
    # As LLM Foundry and Composer do.
    named = os.environ.get("RUN_NAME") or os.environ.get("COMPOSER_RUN_NAME")
    if config.run_name is None and named:
        config = config.model_copy(update={"run_name": named})
    if cpu:
        # Before torch is loaded, which would see them.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    gpus = visible_gpus()
    is_trial = not cpu and is_trial_without_gpu(config, gpus, devices_of_run())
    if cpu or is_trial:
        changes = ", ".join(changes_for_processor(config))
        config = for_processor(config)
        if changes and _is_first():
            why = "--cpu" if cpu else "no GPU is visible: training on the processor, which is slow"
            report(f"{why}: {changes}")
    check_run(config, gpus)
    line = without_effect(config, gpus, devices_of_run())
    if line is not None and _is_first():
        report(line)
    name = run_id(config, content_of(config), config.run_name or Path(run_yaml).stem)
    folder = run_folder(Path(run_yaml).resolve().parent if out is None else out, name)
    result = folder / RESULT
    if result.is_file() and (record := read_record(result)).status in ENDED:
        report(f"{name} has its record already; to run it again, remove {result}")
        return record, folder
    # Composer imports torch's compiler, which would start processes that few runs need.
    os.environ.setdefault("TORCH_WARM_POOL", "0")
    # It takes seconds to import, too: mistakes in the file are found before.
    from mixscale.train.data.shared_memory import remove_stale
    from mixscale.train.run.training import train

    remove_stale()
    if is_trial:
        _check_memory(config)
    return train(config, folder), folder


def _check_memory(config: RunConfig) -> None:
    """Refuse to train on the processor, unasked, what this machine cannot hold."""
    from mixscale.train.run.memory_trace import trace_memory
    from mixscale.train.run.model import load_tokenizer

    need = trace_memory(config, load_tokenizer(config.tokenizer), on_gpu=False)
    if need is not None and not need.can_fit(1):
        raise UserError(
            f"no GPU is visible, and on the processor this run cannot fit: {too_much(need, 1)}. "
            "`mixscale train --cpu` starts it all the same"
        )


def _is_first() -> bool:
    """Whether this process speaks for all that Composer's launcher has started."""
    return os.environ.get("RANK", "0") == "0"
