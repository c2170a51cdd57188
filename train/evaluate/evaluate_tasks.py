"""A model evaluated on tasks, one after the other, each with its result on the disk."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from filelock import FileLock, Timeout
from lm_eval.evaluator import evaluate

from mixscale.contracts.errors import UserError
from mixscale.contracts.evaluation import (
    FOLDER,
    Evaluation,
    TaskResult,
    items_path,
    merged,
    read_result,
    result_path,
    write_result,
)
from mixscale.contracts.evaluation_items import write_items
from mixscale.contracts.run_record import write_record
from mixscale.train.evaluate.language_model import LanguageModel, open_language_model
from mixscale.train.evaluate.target import Target
from mixscale.train.evaluate.task_data import mistakes_named
from mixscale.train.evaluate.task_results import (
    evaluations_of,
    group_evaluations,
    guard_overflow,
    left_out,
)
from mixscale.train.evaluate.tasks import LoadedTask, LoadedTasks
from mixscale.train.run.failures import is_out_of_memory

_PACKAGES = ("mixscale", "lm-eval", "torch", "transformers")
_SEED = 1234
_RESAMPLES = 1000
"""Bootstrap samples behind the standard error of a metric that is no mean."""
_LOCK = ".lock"


def evaluate_tasks(
    target: Target,
    loaded: LoadedTasks,
    where: str | Path,
    *,
    limit: float | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    tokenizer: str | None = None,
    places: int = 1,
    report: Callable[[str], None] = print,
) -> list[Evaluation]:
    """Evaluate a model on tasks; those whose result is there already are not asked again.

    Args:
        target: The model.
        loaded: The tasks, of `load_tasks`.
        where: Folder that gets `evaluations/`: that of the run, whose record gets the results too.
        limit: That of the request.
        device: `cpu`, `cuda` ...; the GPU where there is one when absent.
        batch_size: Items at a time; by memory when absent. Halved when memory runs out.
        tokenizer: Folder of the tokenizer; the model's own when absent.
        places: How many models share the memory of the device.
        report: Gets a line for each task, and for what is worth knowing.

    Returns:
        Every metric of every task, then those of groups.

    Raises:
        UserError: The model does not fit or cannot answer, or another process evaluates it.
    """
    folder = Path(where)
    with _alone(folder):
        sha256 = target.sha256()
        results = {task.name: _done(folder, task, sha256) for task in loaded.tasks}
        missing = [task for task in loaded.tasks if results[task.name] is None]
        if len(missing) < len(loaded.tasks):
            there = len(loaded.tasks) - len(missing)
            report(f"{there} of {len(loaded.tasks)} tasks have their result already")
        for warning in (line for task in missing for line in task.warnings):
            report(f"warning: {warning}")
        if missing:
            model = open_language_model(
                target.folder, target.name, device=device, batch_size=batch_size,
                tokenizer=tokenizer, places=places,
            )  # fmt: skip
            for task in missing:
                model.check_length(task.name, task.task)
            record = target.record
            tokens = None if record is None else record.seen_tokens
            for task in missing:
                report(f"task {task.name}: {task.items} items, {_place(task, loaded)}")
                done = _one_task(model, task, limit, tokens, sha256, folder, report)
                results[task.name] = done
                _into_record(target, done.evaluations)
        found = [one for result in results.values() if result for one in result.evaluations]
        found += group_evaluations(loaded, found)
        _into_record(target, found)
        return found


def _place(task: LoadedTask, loaded: LoadedTasks) -> str:
    return f"{loaded.tasks.index(task) + 1} of {len(loaded.tasks)} tasks"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second process from evaluating the same model at the same time."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / FOLDER / _LOCK, timeout=0):
            yield
    except Timeout:
        raise UserError(
            f"{folder}: another process is evaluating this model; wait for it"
        ) from None


def _done(folder: Path, task: LoadedTask, model_sha256: str) -> TaskResult | None:
    path = result_path(folder, task.name, task.settings)
    if not path.is_file():
        return None
    result = read_result(path)
    is_same = (result.model, result.task, result.settings) == (
        model_sha256, task.name, task.settings,
    )  # fmt: skip
    return result if is_same else None


def _one_task(
    model: LanguageModel,
    loaded: LoadedTask,
    limit: float | None,
    tokens: int | None,
    sha256: str,
    folder: Path,
    report: Callable[[str], None],
) -> TaskResult:
    guard_overflow(loaded.task)
    model.cut = model.asked = 0
    with mistakes_named(loaded.name, loaded.task.dump_config()):
        reported = _ask(model, loaded, limit, report)
        evaluations, items = evaluations_of(loaded, reported, limit, tokens)
    if model.cut:
        report(
            f"warning: task {loaded.name}: {model.cut} of {model.asked} requests are longer than "
            f"the {model.max_length} tokens that the model sees; their beginnings were left out"
        )
    for metric in left_out(reported["results"][loaded.name]):
        report(f"warning: task {loaded.name}: {metric} is no finite number and left out")
    if not evaluations:
        raise UserError(f"task {loaded.name}: no metric of it is a finite number")
    result = TaskResult(
        task=loaded.name,
        model=sha256,
        settings=loaded.settings,
        evaluations=tuple(evaluations),
        versions={package: version(package) for package in _PACKAGES},
    )
    # The result comes last: where it is, the items are.
    write_items(items_path(folder, loaded.name, loaded.settings), items)
    write_result(folder, result)
    return result


def _ask(
    model: LanguageModel, loaded: LoadedTask, limit: float | None, report: Callable[[str], None]
) -> Mapping[str, Any]:
    """Let lm-eval ask the model, with fewer items at a time when memory runs out."""
    while True:
        try:
            return _asked_once(model, loaded, limit)
        except Exception as error:
            size = int(model.batch_size)
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise UserError(
                    f"task {loaded.name}: one item at a time is too much for the memory "
                    f"({str(error).splitlines()[0]}); take a larger device or a smaller model"
                ) from error
        # Outside of the handler, which holds the tensors that are in the way.
        model.use_batch_size(size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        report(f"task {loaded.name}: memory ran out with {size} items at a time; {size // 2} now")


def _asked_once(model: LanguageModel, loaded: LoadedTask, limit: float | None) -> Mapping[str, Any]:
    # Each task begins alike, whichever came before it.
    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002 - lm-eval's tasks draw from the global generator
    torch.manual_seed(_SEED)
    loaded.task.set_fewshot_seed(_SEED)
    with contextlib.redirect_stdout(sys.stderr), _single_process():
        reported = evaluate(
            lm=model,
            task_dict={"tasks": {loaded.name: loaded.task}},
            limit=cast("int | None", limit),  # a share below 1, too
            bootstrap_iters=_RESAMPLES,
            log_samples=True,
        )
    assert reported is not None
    return reported


@contextlib.contextmanager
def _single_process() -> Iterator[None]:
    """Keep lm-eval's bootstrap from starting a process for every core."""
    before = os.environ.get("DISABLE_MULTIPROC")
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DISABLE_MULTIPROC"]
        else:
            os.environ["DISABLE_MULTIPROC"] = before


def _into_record(target: Target, found: Sequence[Evaluation]) -> None:
    """Put results into the record of the model's run, where it has one."""
    record = target.record
    if record is None or target.run is None:
        return
    evaluations = merged(record.evaluations, found)
    if evaluations != record.evaluations:
        write_record(target.run, record.model_copy(update={"evaluations": evaluations}))
