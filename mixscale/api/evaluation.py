"""Models measured from Python: on validation domains and on tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixscale.contracts.errors import UserError
from mixscale.contracts.evaluation import FOLDER, Evaluation
from mixscale.contracts.run_record import DomainLoss
from mixscale.runtime.extras import require

if TYPE_CHECKING:
    from mixscale.train.evaluate.target import Target

_DEFAULT_BATCH = 16
_PathLike = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a model reaches."""

    losses: Mapping[str, DomainLoss] = field(default_factory=dict)
    """By validation domain."""
    evaluations: Sequence[Evaluation] = ()
    """Every metric of every task, groups last."""
    folder: Path | None = None
    """Where the results of the tasks lie."""

    def losses_json(self) -> dict[str, Any]:
        """Write the losses as plain values."""
        return {domain: loss.model_dump(mode="json") for domain, loss in self.losses.items()}

    def as_json(self) -> dict[str, Any]:
        """Write everything as plain values."""
        return {
            "losses": self.losses_json(),
            "evaluations": [one.model_dump(mode="json") for one in self.evaluations],
            "folder": str(self.folder),
        }


def evaluate(
    target: _PathLike,
    shardset: _PathLike | None = None,
    *,
    tasks: str | Sequence[str] | None = None,
    include_path: _PathLike | None = None,
    limit: float | None = None,
    num_fewshot: int | None = None,
    device: str | None = None,
    domains: Sequence[str] | None = None,
    split: str = "validation",
    tokens_per_domain: int | None = None,
    batch_size: int | None = None,
    out: _PathLike | None = None,
    report: Callable[[str], None] = print,
) -> Measured:
    """Measure a model on the validation domains of a shard set, on tasks, or on both.

    Args:
        target: A run's id or folder, a checkpoint of Composer or a folder of them, or a Hugging
            Face folder.
        shardset: The shard set, made with the model's tokenizer.
        tasks: Names of tasks, groups or tags of lm-eval, patterns, or YAML files.
        include_path: Folder with YAML files of further tasks.
        limit: The first so many items of each task; below 1 that share of them.
        num_fewshot: Examples before each item; what the task says when absent.
        device: Of the tasks: `cpu`, `cuda`, `cuda:1`; the GPU where there is one when absent.
        domains: Validation domains; all when absent.
        split: Of the shard set.
        tokens_per_domain: The first so many tokens of each domain; all when absent.
        batch_size: Samples or items in a forward pass; 16, and for tasks by memory, when absent.
        out: Folder with `runs/`, in which an id is looked for, and which gets the results of other
            models; the shard set or the current folder when absent.
        report: Gets one line for each thing worth saying.

    Raises:
        UserError: There is no such model, domain or task; or the data of a task is not there, the
            model does not fit into the memory, or an extra that is needed is not installed.
    """
    require("train", "evaluate")
    if shardset is None and tasks is None:
        raise UserError("evaluate: give a shard set, for losses, or tasks, or both")
    loaded = None
    if tasks is not None:
        require("eval", "evaluate(tasks=…)")
        from mixscale.train.evaluate.task_request import TaskRequest, task_names
        from mixscale.train.evaluate.tasks import load_tasks

        loaded = load_tasks(
            TaskRequest(
                tasks=task_names(tasks),
                include_path=None if include_path is None else str(include_path),
                limit=limit,
                num_fewshot=num_fewshot,
            )
        )
    from mixscale.train.evaluate.model import evaluate_model
    from mixscale.train.evaluate.target import open_target

    root = Path(out or shardset or ".")
    with open_target(Path(target), [root]) as opened:
        losses: Mapping[str, DomainLoss] = {}
        if shardset is not None:
            losses = evaluate_model(
                opened.folder,
                Path(shardset),
                domains=domains,
                split=split,
                tokens_per_domain=tokens_per_domain,
                batch_size=batch_size or _DEFAULT_BATCH,
            )
        if loaded is None:
            return Measured(losses=losses)
        from mixscale.train.evaluate.evaluate_tasks import evaluate_tasks

        where = _results_of(opened, root)
        found = evaluate_tasks(
            opened,
            loaded,
            where,
            limit=limit,
            device=device,
            batch_size=batch_size,
            report=report,
        )
        return Measured(losses=losses, evaluations=found, folder=where / FOLDER)


def _results_of(target: Target, root: Path) -> Path:
    """Choose the folder that gets `evaluations/`."""
    if target.run is not None:
        return target.run
    return root / "models" / f"{target.name}-{target.sha256()[:10]}"
