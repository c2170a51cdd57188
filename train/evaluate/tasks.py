"""Tasks of lm-eval found by name, with their data, before a model is loaded."""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import logging
import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import config as datasets_config
from huggingface_hub import constants
from lm_eval.api.group import Group
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks._index import Entry, Kind, TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from mixscale.contracts.errors import UserError
from mixscale.train.evaluate.task_data import (
    CheckedTask,
    check_items,
    check_metrics,
    mistakes_named,
    network_problem,
    with_local_files,
)
from mixscale.train.evaluate.task_request import TaskRequest
from mixscale.train.evaluate.task_settings import settings_of

FEWSHOT_SEED = 1234
"""Of lm-eval; every task draws its examples anew from it."""
_MANY = 5
_STRUCTURE = ("tag", "group", "task_list")
"""Keys of a task's YAML that say what it belongs to, not what it is."""


@dataclass(frozen=True, kw_only=True)
class LoadedTask:
    """A task with its data."""

    name: str
    task: Task
    settings: str
    """Hash of the task, its data, few-shot examples and limit."""
    items: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LoadedTasks:
    """Tasks, and the groups that lm-eval sums some of them up in."""

    tasks: tuple[LoadedTask, ...]
    groups: tuple[Group, ...]
    entries: bytes
    """What lm-eval knows of them, for the processes that ask them."""

    @property
    def settings(self) -> dict[str, str]:
        """By task, the hash of what is asked."""
        return {loaded.name: loaded.settings for loaded in self.tasks}


def load_tasks(request: TaskRequest) -> LoadedTasks:
    """Find the tasks and read their data.

    Raises:
        UserError: A task is unknown, its data is not there or lacks a field, or it asks for what is
            not done here (code to be run, pictures).
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager, names = _find(request)
    index = dict(manager._index)
    with _without_network():
        try:
            found = manager.load(list(names))
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"tasks: {error}") from error
    loaded = tuple(_prepared(name, task, request) for name, task in found["tasks"].items())
    return LoadedTasks(
        tasks=loaded, groups=tuple(found.get("groups", {}).values()), entries=pickle.dumps(index)
    )


def _prepared(name: str, task: Task, request: TaskRequest) -> LoadedTask:
    """Set what the request asks for, and look at every item."""
    if getattr(task, "UNSAFE_CODE", False):
        raise UserError(f"task {name}: it runs programs that the model writes; not done here")
    if getattr(task, "MULTIMODAL", False):
        raise UserError(f"task {name}: it asks about pictures or sounds; only text is done here")
    shots = task.get_config("num_fewshot")
    if request.num_fewshot is not None and shots != 0:
        # What a task sets to 0 stays so, as in lm-eval.
        shots = request.num_fewshot
    task.set_config("num_fewshot", shots or 0)
    task.set_fewshot_seed(FEWSHOT_SEED)
    with mistakes_named(name, task.dump_config()):
        items, warnings = check_items(name, task, request.limit)
        return LoadedTask(
            name=name,
            task=task,
            settings=settings_of(task, request.limit),
            items=items,
            warnings=warnings,
        )


def _find(request: TaskRequest) -> tuple[TaskManager, list[str]]:
    """Look the names up: among the user's own tasks first, since lm-eval's take long to list."""
    if request.include_path is not None and not Path(request.include_path).is_dir():
        raise UserError(f"include path: {request.include_path} is no folder")
    if request.entries is not None:
        manager = TaskManager(include_defaults=False)
        manager._index = pickle.loads(request.entries)
    else:
        manager = TaskManager(include_path=request.include_path, include_defaults=False)
        if not all(_is_known(name, manager._index) for name in request.tasks):
            manager = TaskManager(include_path=request.include_path)
    names = [name for asked in request.tasks for name in _named(asked, manager._index, request)]
    manager._factory = _Factory(meta=manager.metadata)
    manager._index = _needed(names, manager._index)
    return manager, list(dict.fromkeys(names))


def _is_known(name: str, index: Mapping[str, Entry]) -> bool:
    """Whether a task, and what it consists of, is among these."""
    if name not in index:
        return Path(name).is_file()
    return all(child in index and _is_known(child, index) for child in _children(index[name]))


def _named(asked: str, index: Mapping[str, Entry], request: TaskRequest) -> list[str]:
    if asked in index or Path(asked).is_file():
        return [asked]
    matching = sorted(fnmatch.filter(index, asked))
    if matching and any(sign in asked for sign in "*?["):
        # A group and its tasks would be one thing twice.
        return [name for name in matching if index[name].kind in (Kind.TASK, Kind.PY_TASK)]
    near = difflib.get_close_matches(asked, index, n=_MANY)
    hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
    where = f" and in {request.include_path}" if request.include_path else ""
    raise UserError(
        f"tasks: unknown task {asked!r}, looked for among the {len(index)} of lm-eval{where}.{hint}"
        f"{_unreadable(request.include_path)} Own tasks: --include-path FOLDER"
    )


def _unreadable(include_path: str | None) -> str:
    """Name the YAML files that lm-eval passes over, since it does not."""
    wrong = []
    for path in sorted(Path(include_path).glob("**/*.yaml")) if include_path else ():
        try:
            TaskIndex._kind_of(load_yaml(path, resolve_func=False, recursive=True))
        except Exception as error:  # whatever YAML makes of it
            wrong.append(f" {path} cannot be read: {str(error).splitlines()[0]}.")
    return "".join(wrong)


def _children(entry: Entry) -> list[str]:
    """Name what a group or a tag consists of."""
    listed = sorted(entry.tags) if entry.kind is Kind.TAG else (entry.cfg or {}).get("task")
    if not isinstance(listed, list):
        return []
    names = [item.get("task", item.get("group")) if isinstance(item, dict) else item
             for item in listed]  # fmt: skip
    return [name for name in names if isinstance(name, str)]


def _needed(names: Iterable[str], index: Mapping[str, Entry]) -> dict[str, Entry]:
    """Take what the names need of all that lm-eval knows, for processes that start anew."""
    needed: dict[str, Entry] = {}
    waiting = [name for name in names if name in index]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = index[name]
            waiting += [child for child in _children(index[name]) if child in index]
    return needed


class _Factory(TaskFactory):
    """Makes tasks whose files may be named from their YAML, and says what is wrong with them."""

    def _build_task(self, entry: Entry, overrides: dict[str, Any] | None) -> Task:
        config = self._load_full_config(entry, overrides)
        name = config.get("task", entry.name)
        with mistakes_named(name, config):
            if "class" in config:
                return super()._build_task(entry, overrides)
            check_metrics(name, config)
            plain = {key: value for key, value in config.items() if key not in _STRUCTURE}
            return CheckedTask(config=plain)

    def _load_full_config(
        self, entry: Entry, overrides: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        # Reading it imports the Python files that it names, which may do anything.
        with mistakes_named(entry.name, entry.cfg or {}):
            config = super()._load_full_config(entry, overrides)
        folder = entry.yaml_path.parent if entry.yaml_path else None
        return with_local_files(config, folder)


@contextlib.contextmanager
def _without_network() -> Iterator[None]:
    """Where the hub cannot be reached, let nothing wait for it: only its cache is asked."""
    before = constants.HF_HUB_OFFLINE, datasets_config.HF_HUB_OFFLINE
    network_problem.cache_clear()
    if network_problem() is not None:
        constants.HF_HUB_OFFLINE = datasets_config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets_config.HF_HUB_OFFLINE = before
