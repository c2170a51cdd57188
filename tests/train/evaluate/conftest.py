"""A really trained tiny model, and tasks in small local files."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from mixscale.contracts.config import validate
from mixscale.contracts.run_record import run_folder
from mixscale.train.config import RunConfig
from mixscale.train.run.training import train

METRICS = {
    "multiple_choice": ["acc", "acc_norm"],
    "loglikelihood": ["acc"],
    "loglikelihood_rolling": ["word_perplexity", "byte_perplexity", "bits_per_byte"],
    "generate_until": ["exact_match"],
}
AGGREGATIONS = {
    "word_perplexity": "weighted_perplexity",
    "byte_perplexity": "weighted_perplexity",
    "bits_per_byte": "bits_per_byte",
}


def write_lines(path: Path, items: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")


def write_task(
    folder: Path, name: str, kind: str, items: Iterable[dict[str, Any]] | None, **keys: Any
) -> Path:
    """Write the YAML of a task (as JSON, which is YAML) and, beside it, its items."""
    folder.mkdir(exist_ok=True, parents=True)
    if items is not None:
        write_lines(folder / f"{name}.jsonl", items)
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "output_type": kind,
        "metric_list": [
            {
                "metric": metric,
                "aggregation": AGGREGATIONS.get(metric, "mean"),
                "higher_is_better": metric not in AGGREGATIONS,
            }
            for metric in METRICS[kind]
        ],
        **keys,
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def quiz_items(count: int = 12) -> list[dict[str, Any]]:
    """Questions that a model of periodic sequences can answer: what comes next?"""
    rng = random.Random(3)
    items = []
    for _ in range(count):
        words = [f"w{number}" for number in rng.sample(range(1, 64), 6)]
        right, *wrong = " ".join(words[:2]), f"{words[3]} {words[0]}", f"{words[4]} {words[5]}"
        choices = [*wrong, right]
        rng.shuffle(choices)
        items.append(
            {
                "question": " ".join((words[:3] * 3)[: 6 + rng.randrange(3) * 3]),
                "choices": choices,
                "answer": choices.index(right),
            }
        )
    return items


def texts(count: int = 5) -> list[dict[str, Any]]:
    rng = random.Random(4)
    lengths = [1, 7, 31, 32, 70]
    return [
        {"text": " ".join(f"w{rng.randrange(1, 64)}" for _ in range(lengths[number % 5]))}
        for number in range(count)
    ]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder with a task of each kind."""
    folder = tmp_path / "tasks"
    write_task(
        folder, "quiz", "multiple_choice", quiz_items(),
        doc_to_text="{{question}}", doc_to_choice="choices", doc_to_target="answer",
    )  # fmt: skip
    write_task(
        folder, "texts", "loglikelihood_rolling", texts(), doc_to_text="", doc_to_target="{{text}}"
    )
    write_task(
        folder, "go_on", "generate_until",
        [{"start": item["question"], "next": item["question"].split()[0]} for item in quiz_items()],
        doc_to_text="{{start}}", doc_to_target="{{next}}",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 1, "do_sample": False},
    )  # fmt: skip
    return folder


@pytest.fixture
def trained(run_values: dict[str, Any], tmp_path: Path) -> Path:
    """The folder of a run that keeps its model both ways."""
    torch.set_num_threads(1)
    folder = run_folder(tmp_path / "out", "first")
    values = {
        **run_values,
        "run_name": "first",
        "max_duration": "3ep",
        "save_folder": str(tmp_path / "checkpoints"),
        "save_interval": "1dur",
        "callbacks": {"hf_checkpointer": {"save_folder": str(folder)}},
    }
    assert train(validate(values, RunConfig, "test"), folder).status == "finished"
    return folder
