"""Evaluations that are interrupted, repeated, or run out of memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from mixscale.api.evaluation import evaluate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import read_record

from .conftest import quiz_items, write_lines, write_task

QUIZ = {"doc_to_text": "{{question}}", "doc_to_choice": "choices", "doc_to_target": "answer"}


def results(run: Path) -> dict[str, Any]:
    return {
        path.name.rpartition("-")[0]: json.loads(path.read_text())
        for path in run.glob("evaluations/[!.]*.json")
    }


def test_killed_half_way_and_repeated(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    names = [f"quiz_{number}" for number in range(4)]
    for name in names:
        write_task(folder, name, "multiple_choice", quiz_items(100), **QUIZ)
    command = [sys.executable, "-m", "mixscale", "evaluate", str(trained), "--tasks",
               ",".join(names), "--include-path", str(folder), "--batch-size", "1"]  # fmt: skip
    running = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    while not results(trained) and running.poll() is None:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    first = results(trained)
    assert 0 < len(first) < len(names)
    written = {path: path.stat().st_mtime_ns for path in trained.glob("evaluations/[!.]*.json")}

    lines: list[str] = []
    evaluate(trained, tasks=names, include_path=folder, batch_size=1, report=lines.append)
    assert f"{len(first)} of 4 tasks have their result already" in lines
    assert {path: path.stat().st_mtime_ns for path in written} == written
    # All four ask the same, so an uninterrupted run is there to compare with.
    numbers = [
        [(one["metric"], one["value"], one["stderr"]) for one in result["evaluations"]]
        for result in results(trained).values()
    ]
    assert len(numbers) == 4
    assert all(one == numbers[0] for one in numbers)
    assert {one.task for one in read_record(trained / "result.json").evaluations} == set(names)


def test_what_changes_the_numbers_is_asked_anew(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"

    def asked(**options: Any) -> bool:
        lines: list[str] = []
        evaluate(trained, tasks="quiz", include_path=folder, report=lines.append, **options)
        return any(line.startswith("task quiz") for line in lines)

    write_task(folder, "quiz", "multiple_choice", quiz_items(), **QUIZ)
    assert asked()
    assert not asked()
    assert not asked(batch_size=2, device="cpu")
    assert asked(limit=3)
    assert not asked(limit=3)
    # The file of the same items under another name is the same task.
    (folder / "quiz.jsonl").rename(folder / "moved.jsonl")
    path = folder / "quiz.yaml"
    path.write_text(path.read_text().replace("quiz.jsonl", "moved.jsonl"))
    assert not asked()
    write_lines(folder / "moved.jsonl", [*quiz_items()[:-1], quiz_items()[0]])
    assert asked()
    path.write_text(path.read_text().replace("{{question}}", "{{question}}:"))
    assert asked()
    # Other weights under the same id are another model.
    (exported,) = trained.glob("huggingface/ba*")
    model = AutoModelForCausalLM.from_pretrained(exported)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    model.save_pretrained(exported)
    assert asked()


def test_one_process_at_a_time(trained: Path, tasks: Path) -> None:
    (trained / "evaluations").mkdir(exist_ok=True)
    with (
        FileLock(trained / "evaluations" / ".lock"),
        pytest.raises(UserError, match="another process is evaluating this model"),
    ):
        evaluate(trained, tasks="quiz", include_path=tasks, report=lambda line: None)


LIMITED = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from mixscale.api.evaluation import evaluate
import mixscale.train.evaluate.evaluate_tasks
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 1_500_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
result = evaluate(sys.argv[1], tasks="quiz", include_path=sys.argv[2], batch_size=512,
                  out=sys.argv[3], device="cpu")
print("value", [one.value for one in result.evaluations if one.metric == "bpb"][0])
"""


def test_a_batch_that_is_too_large_is_halved(trained: Path, tmp_path: Path) -> None:
    """A vocabulary so large that a batch's logits are 2.4 GB, in a process that may have 1.5."""
    (exported,) = trained.glob("huggingface/ba*")
    config = AutoConfig.from_pretrained(exported)
    config.vocab_size, config.n_embd = 50_000, 4
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "wide")
    AutoTokenizer.from_pretrained(exported).save_pretrained(tmp_path / "wide")
    items = [
        {**item, "question": " ".join(f"w{1 + (number * place) % 63}" for place in range(1, 30))}
        for number, item in enumerate(quiz_items(128))
    ]
    write_task(tmp_path / "own", "quiz", "multiple_choice", items, **QUIZ)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "wide"), str(tmp_path / "own"),
         str(tmp_path / "limited")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "memory ran out with 512 items at a time; 256 now" in done.stdout
    whole = evaluate(tmp_path / "wide", tasks="quiz", include_path=tmp_path / "own", batch_size=8,
                     out=tmp_path / "whole", report=lambda line: None)  # fmt: skip
    (value,) = [one.value for one in whole.evaluations if one.metric == "bpb"]
    assert float(done.stdout.rpartition("value ")[2]) == pytest.approx(value, rel=1e-5)
