"""What a task's numbers depend on besides the model, as a hash."""

from __future__ import annotations

import hashlib
import itertools
import json
from importlib.metadata import version
from typing import Any

from lm_eval.api.task import Task
from lm_eval.evaluator_utils import get_sample_size

_PLACES = ("data_files", "data_dir", "cache_dir", "base_path")
_NOT_ASKED = {"dataset_path", "dataset_kwargs", "metadata", "tag", "group", "task_alias"}


def settings_of(task: Task, limit: float | None) -> str:
    """Hash a task's config, the items that are asked, the few-shot examples and lm-eval's version.

    Where its files lie does not count, only what is in them; nor how the items were limited.

    Returns:
        12 hexadecimal digits.
    """
    config = task.dump_config()
    kwargs = config.get("dataset_kwargs") or {}
    asked = {key: value for key, value in config.items() if key not in _NOT_ASKED}
    asked["dataset_kwargs"] = {k: v for k, v in kwargs.items() if k not in _PLACES}
    digest = hashlib.sha256(_text([asked, version("lm-eval"), task.VERSION]))
    for item in itertools.islice(task.eval_docs, get_sample_size(task, limit)):
        digest.update(_text(item))
    if task.get_config("num_fewshot"):
        for example in task.fewshot_docs() or ():
            digest.update(_text(example))
    return digest.hexdigest()[:12]


def item_sha256(*parts: Any) -> str:
    """Hash an item: 32 hexadecimal digits."""
    return hashlib.sha256(_text(parts)).hexdigest()[:32]


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=_name, ensure_ascii=False).encode()


def _name(value: object) -> str:
    """Write what JSON lacks, without the address that some objects have in their text."""
    text = str(value)
    return type(value).__qualname__ if " at 0x" in text else text
