"""The data of tasks: its files, its fields, and what is wrong with them."""

from __future__ import annotations

import contextlib
import difflib
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from datasets.exceptions import DatasetNotFoundError
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES
from huggingface_hub.errors import OfflineModeIsEnabled
from lm_eval.api.registry import METRIC_REGISTRY as _METRICS
from lm_eval.api.task import ConfigurableTask, Task
from lm_eval.evaluator_utils import get_sample_size
from lm_eval.utils import env

from mixscale.contracts.errors import UserError
from mixscale.train.run.hub import why_offline

_TEMPLATES = ("doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix")
_SPLITS = ("test_split", "validation_split", "training_split", "fewshot_split")
_FIELD = re.compile(r"[A-Za-z_]\w*")


class _Missing(ValueError):
    """A field that a template writes is null."""


@functools.cache
def network_problem() -> str | None:
    """Say why the hub cannot be asked; looked up once for all tasks of a request."""
    return why_offline()


def with_local_files(config: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Find the files that a task names, from the current folder or from that of its YAML.

    Args:
        config: Of the task.
        folder: Of its YAML, where it has one.

    Returns:
        The config with paths that are there; those of the hub and of the web as they are.
    """
    kwargs = dict(config.get("dataset_kwargs") or {})
    if folder is None or not kwargs:
        return config
    if "data_files" in kwargs:
        kwargs["data_files"] = _each(kwargs["data_files"], folder)
    if isinstance(kwargs.get("data_dir"), str):
        kwargs["data_dir"] = _found(kwargs["data_dir"], folder)
    return {**config, "dataset_kwargs": kwargs}


def _each(files: Any, folder: Path) -> Any:
    if isinstance(files, Mapping):
        return {split: _each(value, folder) for split, value in files.items()}
    if isinstance(files, list | tuple):
        return [_each(value, folder) for value in files]
    return _found(files, folder) if isinstance(files, str) else files


def _found(path: str, folder: Path) -> str:
    if "://" in path or Path(path).is_absolute() or _exists(Path(), path):
        return path
    return str(folder / path) if _exists(folder, path) else path


def _exists(folder: Path, path: str) -> bool:
    return (folder / path).exists() or next(folder.glob(path), None) is not None


@contextlib.contextmanager
def mistakes_named(name: str, config: Mapping[str, Any]) -> Iterator[None]:
    """Turn what lm-eval, datasets and templates raise into a message with task, file and field.

    Raises:
        UserError: In place of the others.
    """
    where = f"task {name} ({_data(config)})"
    try:
        yield
    except UserError:
        raise
    except (OfflineModeIsEnabled, ConnectionError, DatasetNotFoundError) as error:
        raise UserError(f"{where}: {_not_there(config, error)}") from error
    except FileNotFoundError as error:
        raise UserError(f"{where}: {_first_line(error)}{_way_to_files(config)}") from error
    except jinja2.UndefinedError as error:
        raise UserError(f"{where}: its items lack a field: {_first_line(error)}") from error
    except KeyError as error:
        raise UserError(f"{where}: {_lacks(error, config)}") from error
    except jinja2.TemplateError as error:
        raise UserError(f"{where}: its template cannot be read: {_first_line(error)}") from error
    except Exception as error:  # what a wrong config or file raises is whatever they make of it
        raise UserError(f"{where}: {type(error).__name__}: {_first_line(error)}") from error


def _data(config: Mapping[str, Any]) -> str:
    """Say where a task's data comes from."""
    files = (config.get("dataset_kwargs") or {}).get("data_files")
    if files is not None:
        return ", ".join(_flat(files))
    path, name = config.get("dataset_path"), config.get("dataset_name")
    return f"{path}, {name}" if path and name else str(path or "its own data")


def _flat(files: Any) -> list[str]:
    values = files.values() if isinstance(files, Mapping) else files
    return (
        [str(files)] if isinstance(files, str) else [path for one in values for path in _flat(one)]
    )


def _is_local(config: Mapping[str, Any]) -> bool:
    path = str(config.get("dataset_path") or "")
    files = _flat((config.get("dataset_kwargs") or {}).get("data_files") or [])
    of_the_hub = path not in _PACKAGED_DATASETS_MODULES and not Path(path).exists()
    return not of_the_hub and not any("://" in file for file in files)


def _not_there(config: Mapping[str, Any], error: Exception) -> str:
    if _is_local(config):
        return _first_line(error)
    reason = network_problem() or _offline_by_itself(error)
    if reason is None:
        return f"{_first_line(error)}; a closed data set needs HF_TOKEN"
    return (
        "its data is not in the hub's cache and needs the network, and "
        f"{reason}; evaluate it once on a machine with network and the same HF_HOME, or give a "
        "task with local files (--include-path)"
    )


def _offline_by_itself(error: Exception) -> str | None:
    offline = isinstance(error, OfflineModeIsEnabled) or "OfflineMode" in str(error)
    return "the hub cannot be reached" if offline else None


def _way_to_files(config: Mapping[str, Any]) -> str:
    return (
        f"; relative paths count from the task's YAML or from {Path.cwd()}"
        if _is_local(config)
        else ""
    )


def _lacks(error: KeyError, config: Mapping[str, Any]) -> str:
    key = error.args[0] if error.args else error
    for split in _SPLITS:
        if key is not None and config.get(split) == key:
            return f"{split}: its data has no split {key!r}"
    return f"its items lack the field {key!r}"


class CheckedTask(ConfigurableTask):
    """A task of lm-eval that looks at the fields of its first item before it uses them."""

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Load the data.

        Raises:
            UserError: The first item lacks a field, or a metric is unknown.
        """
        super().download(dataset_kwargs, **kwargs)
        if self.config.process_results is None:
            for metric, function in self._metric_fn_list.items():
                if function is None:
                    raise _no_metric(str(self.config.task), self.dump_config(), metric)
        items = self.eval_docs
        if len(items):
            _check_fields(
                f"task {self.config.task} ({_data(self.dump_config())})", self, [items[0]]
            )


def check_metrics(name: str, config: Mapping[str, Any]) -> None:
    """Refuse metrics that lm-eval lacks where it cannot look for them on the hub.

    Raises:
        UserError: There is one.
    """
    for entry in config.get("metric_list") or ():
        metric = entry.get("metric") if isinstance(entry, Mapping) else None
        known = (
            callable(metric) or callable(config.get("process_results")) or str(metric) in _METRICS
        )
        if not known and network_problem():
            raise _no_metric(name, config, str(metric))


def _no_metric(name: str, config: Mapping[str, Any], metric: str) -> UserError:
    return UserError(
        f"task {name} ({_data(config)}): metric_list: lm-eval has no metric {metric!r}"
        f"{_near(metric, _METRICS)}"
    )


def check_items(name: str, task: Task, limit: float | None) -> tuple[int, tuple[str, ...]]:
    """Look at every item that will be asked, so that nothing fails half-way.

    Args:
        name: Of the task.
        task: The task with its data.
        limit: Of the items.

    Returns:
        How many items there are, and what is worth knowing of them.

    Raises:
        UserError: A field is missing or null, a text is empty, or there are no items.
    """
    count = get_sample_size(task, limit)
    items: list[Any] = list(itertools.islice(task.eval_docs, count))
    if not items:
        raise UserError(f"task {name}: it has no items")
    if not isinstance(task, ConfigurableTask):
        return len(items), ()
    where = f"task {name} ({_data(task.dump_config())})"
    _check_fields(where, task, items)
    shots = task.get_config("num_fewshot")
    if shots:
        examples = list(task.fewshot_docs() or ())
        if len(examples) < shots:
            raise UserError(f"{where}: num_fewshot is {shots}, and it has {len(examples)} examples")
        _check_fields(f"{where}, few-shot examples", task, examples)
    return len(items), _check_answers(where, task, items)


def _check_fields(where: str, task: ConfigurableTask, items: Iterable[Any]) -> None:
    """Refuse items that lack what the templates of the task ask for."""
    templates = {key: task.get_config(key) for key in _TEMPLATES}
    asked = {key: value for key, value in templates.items() if isinstance(value, str)}
    for number, item in enumerate(items):
        for key, template in asked.items():
            if template in item:
                if item[template] is None:
                    raise UserError(f"{where}: item {number} has no {template!r} ({key})")
            elif _FIELD.fullmatch(template):
                # lm-eval would ask every model this word.
                raise UserError(
                    f"{where}: {key}: item {number} lacks the field {template!r}; it has "
                    f"{sorted(item)}{_near(template, item)}"
                )
            else:
                _check_template(f"{where}: {key}: item {number}", template, item)


_STRICT = env.overlay(finalize=lambda value: _written(value))


def _written(value: Any) -> Any:
    if value is None:
        raise _Missing
    return value


def _check_template(where: str, template: str, item: Mapping[str, Any]) -> None:
    try:
        _STRICT.from_string(template).render(**item)
    except jinja2.UndefinedError as error:
        lacking = re.findall(r"'(\w+)' is undefined", str(error)) or [_first_line(error)]
        raise UserError(
            f"{where} lacks the field {lacking[0]!r}; it has {sorted(item)}"
            f"{_near(lacking[0], item)}"
        ) from error
    except _Missing as error:
        null = sorted(key for key, value in item.items() if value is None)
        raise UserError(f"{where}: {null} are null, of which {template!r} writes one") from error


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f". Did you mean {near[0]!r}?" if near else ""


def _check_answers(
    where: str, task: ConfigurableTask, items: list[dict[str, Any]]
) -> tuple[str, ...]:
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        for number, item in enumerate(items):
            if not str(task.doc_to_target(item)):
                raise UserError(f"{where}: the text of item {number} is empty")
    if task.OUTPUT_TYPE != "multiple_choice":
        return ()
    wrong = [number for number, item in enumerate(items) if not right_answers(task, item)]
    if len(wrong) == len(items):
        raise UserError(
            f"{where}: doc_to_target names none of the choices of any item (item 0: "
            f"{task.doc_to_target(items[0])!r} of {task.doc_to_choice(items[0])})"
        )
    if not wrong:
        return ()
    return (
        f"{where}: {len(wrong)} of {len(items)} items have no right answer among their choices "
        f"(the first is item {wrong[0]}); they count as wrong",
    )


def right_answers(task: ConfigurableTask, item: dict[str, Any]) -> list[int]:
    """Number the right choices of an item of a multiple-choice task, as lm-eval finds them."""
    choices = task.doc_to_choice(item)
    gold = task.doc_to_text(item) if task.multiple_input else task.doc_to_target(item)
    found = []
    for one in gold if isinstance(gold, list) else [gold]:
        if isinstance(one, bool | int) and 0 <= one < len(choices):
            found.append(int(one))
        elif isinstance(one, str) and one in choices:
            found.append(choices.index(one))
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
