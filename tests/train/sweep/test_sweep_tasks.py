"""Proxy runs that are asked tasks at their end: found beforehand, skipped, resumed."""

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

from mixscale.api.evaluation import evaluate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.sweep_record import sweep_records
from mixscale.train.output.plan import plan_summary
from mixscale.train.output.sweep import sweep_summary
from mixscale.train.sweep.plan import plan
from mixscale.train.sweep.sweep import sweep
from tests.train.tiny_run import TINY_RUN

EXPERIMENT = (
    """\
name: tiny
shardset: {shardset}
out: out
design:
  type: explicit
  scales: [1920]
  mixtures:
    even: {{code: 0.34, prose: 0.33, tables: 0.33}}
    coded: {{code: 0.8, prose: 0.1, tables: 0.1}}
    prosaic: {{code: 0.2, prose: 0.7, tables: 0.1}}
evaluation: {evaluation}
targets: [100k]
"""
    + TINY_RUN
)


def write(folder: Path, shardset: Path, **evaluation: Any) -> Path:
    path = folder / "experiment.yaml"
    asked = json.dumps({"tokens_per_domain": 512, **evaluation})
    path.write_text(EXPERIMENT.format(shardset=shardset, evaluation=asked))
    return path


def write_quiz(folder: Path, name: str, items: int) -> None:
    folder.mkdir(exist_ok=True)
    lines = [
        {"question": f"w{n % 60 + 1} w{n % 50 + 2} w{n % 60 + 1}", "answer": n % 2,
         "choices": [f"w{n % 50 + 2}", f"w{n % 40 + 9}"]}
        for n in range(items)
    ]  # fmt: skip
    (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    task = {
        "task": name, "dataset_path": "json", "test_split": "test",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "output_type": "multiple_choice", "doc_to_text": "{{question}}",
        "doc_to_choice": "choices", "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(json.dumps(task))


def records(folder: Path) -> list[RunRecord]:
    return list(sweep_records(folder / "out", "tiny"))


def numbers(folder: Path) -> list[list[tuple[str, float]]]:
    return [[(one.name, one.value) for one in record.evaluations] for record in records(folder)]


def test_every_run_is_asked_once(
    shardset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_quiz(tmp_path / "own", "quiz", 20)
    path = write(tmp_path, shardset, tasks=["quiz"], include_path="own", limit=12)
    planned = plan(path, measure=False)
    assert "quiz (12 items)" in plan_summary(planned)
    assert planned.as_json()["tasks"] == {"quiz": 12}
    lines: list[str] = []
    result = sweep(path, workers=2, report=lines.append)
    assert result.is_complete, sweep_summary(result)
    for record in records(tmp_path):
        assert {(one.name, one.items) for one in record.evaluations} == {
            ("acc:quiz", 12), ("bpb:quiz", 12),
        }  # fmt: skip
        assert {one.tokens for one in record.evaluations} == {1920}
        # The same as asked by hand, from the model that the run kept.
        by_hand = evaluate(
            tmp_path / "out" / "runs" / record.run_id, tasks="quiz", limit=12,
            include_path=tmp_path / "own", out=tmp_path, report=lines.append,
        )  # fmt: skip
        assert tuple(by_hand.evaluations) == record.evaluations
    assert "1 of 1 tasks have their result already" in lines

    # Again: nothing is left to do, from another folder too.
    monkeypatch.chdir(tmp_path / "own")
    again: list[str] = []
    assert sweep(path, report=again.append).skipped == 3
    assert all(row.is_done for row in plan(path, measure=False).rows)

    # More tasks, or another limit: the models are there, so nothing is trained.
    before = [record.started for record in records(tmp_path)]
    write_quiz(tmp_path / "own", "more", 5)
    write(tmp_path, shardset, tasks=["quiz", "more"], include_path="own", limit=12)
    assert not any(row.is_done for row in plan(path, measure=False).rows)
    assert sweep(path, workers=2, report=again.append).is_complete
    assert [record.started for record in records(tmp_path)] == before
    assert {one.task for one in records(tmp_path)[0].evaluations} == {"quiz", "more"}


def test_runs_of_before_that_kept_no_model_are_trained_again(
    shardset: Path, tmp_path: Path
) -> None:
    path = write(tmp_path, shardset)
    assert sweep(path, workers=2, report=lambda line: None).is_complete
    before = records(tmp_path)
    write_quiz(tmp_path / "own", "quiz", 4)
    write(tmp_path, shardset, tasks=["quiz"], include_path="own")
    assert sweep(path, workers=2, report=lambda line: None).is_complete
    for old, new in zip(before, records(tmp_path), strict=True):
        assert (old.run_id, old.evaluation) == (new.run_id, new.evaluation)
        assert new.evaluations


def test_killed_while_runs_are_asked(shardset: Path, tmp_path: Path) -> None:
    """The sweep and its runs; what was asked is kept, and the numbers are the same."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        write_quiz(tmp_path / name / "own", "quiz", 300)
        write_quiz(tmp_path / name / "own", "long", 900)
    path = write(tmp_path / "whole", shardset, tasks=["quiz", "long"], include_path="own")
    assert sweep(path, workers=1, report=lambda line: None).is_complete

    path = write(tmp_path / "killed", shardset, tasks=["quiz", "long"], include_path="own")
    running = subprocess.Popen(
        [sys.executable, "-m", "mixscale", "sweep", str(path), "--workers", "1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    done = tmp_path / "killed" / "out" / "runs"
    while not list(done.glob("*/evaluations/quiz-*.json")) and running.poll() is None:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert len([record for record in records(tmp_path / "killed") if record.evaluations]) < 3
    assert sweep(path, workers=1, report=lambda line: None).is_complete
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")


def test_what_cannot_be_asked_is_refused_before_the_first_run(
    shardset: Path, tmp_path: Path
) -> None:
    write_quiz(tmp_path / "own", "quiz", 4)
    path = write(tmp_path, shardset, tasks=["quizz"], include_path="own")
    for command in (plan, sweep):
        with pytest.raises(UserError, match=r"unknown task 'quizz'.*Did you mean 'quiz'"):
            command(path)
    write(tmp_path, shardset, include_path="own")
    with pytest.raises(UserError, match=r"include_path: for `tasks`, which are not given"):
        sweep(path)
    write(tmp_path, shardset, tasks=["quiz"], include_path="own")
    path.write_text(path.read_text().replace("hf_causal_lm", "hf_masked_lm"))
    with pytest.raises(UserError, match="hf_masked_lm gives a text no probability"):
        sweep(path)
    assert not (tmp_path / "out" / "runs").exists()


def test_a_task_that_the_models_cannot_answer_leaves_the_runs_as_they_are(
    shardset: Path, tmp_path: Path
) -> None:
    write_quiz(tmp_path / "own", "quiz", 4)
    path = write(tmp_path, shardset, tasks=["quiz"], include_path="own")
    task = json.loads((tmp_path / "own" / "quiz.yaml").read_text())
    answers = [{"question": "w1", "choices": ["w1 " * 40, "w2"], "answer": 0}]
    (tmp_path / "own" / "quiz.jsonl").write_text(json.dumps(answers[0]))
    assert task["task"] == "quiz"
    with pytest.raises(UserError, match="an answer of 40 tokens is longer than the 32"):
        sweep(path, workers=1, report=lambda line: None)
    (first,) = (tmp_path / "out" / "runs").glob("*/result.json")
    assert json.loads(first.read_text())["status"] == "finished"
