"""The numbers of tasks, against what transformers alone computes from the same model."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mixscale.api.evaluation import evaluate
from mixscale.contracts.evaluation import Evaluation
from mixscale.contracts.run_record import read_record

from .conftest import quiz_items, texts, write_task

LENGTH = 32


class Reference:
    """The model, asked with nothing but transformers."""

    def __init__(self, run: Path) -> None:
        (folder,) = run.glob("huggingface/ba*")
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.folder = folder

    def nats(self, context: list[int], answer: list[int]) -> float:
        """The negative log-likelihood of an answer."""
        tokens = torch.tensor([context + answer])
        with torch.no_grad():
            logits = self.model(tokens[:, :-1]).logits[0].double()
        picked = torch.log_softmax(logits, -1).gather(1, tokens[0, 1:, None])[:, 0]
        return -picked[len(context) - 1 :].sum().item()

    def nats_of_answer(self, question: str, answer: str) -> float:
        return self.nats(self.tokenizer.encode(question), self.tokenizer.encode(answer))

    def nats_of_text(self, text: str) -> float:
        """In windows of the model's length, each after the last token of the one before."""
        tokens = [self.tokenizer.eos_token_id, *self.tokenizer.encode(text)]
        total, done = 0.0, 1
        while done < len(tokens):
            end = min(done + LENGTH, len(tokens))
            # Of a last window that is not full, as much as possible before it is seen.
            first = max(end - LENGTH - 1, 0) if done > 1 else 0
            total += self.nats(tokens[first:done], tokens[done:end])
            done = end
        return total

    def next_word(self, text: str) -> str:
        with torch.no_grad():
            logits = self.model(torch.tensor([self.tokenizer.encode(text)])).logits[0, -1]
        return self.tokenizer.decode([int(logits.argmax())])


def found(evaluations: Any) -> dict[str, Evaluation]:
    return {one.name: one for one in evaluations}


def spread(values: list[float]) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def test_the_three_kinds_of_task(trained: Path, tasks: Path) -> None:
    lines: list[str] = []
    result = evaluate(
        trained, tasks="quiz,texts,go_on", include_path=tasks, batch_size=3, report=lines.append
    )
    numbers = found(result.evaluations)
    model = Reference(trained)

    nats = [[model.nats_of_answer(item["question"], choice) for choice in item["choices"]]
            for item in quiz_items()]  # fmt: skip
    right = [float(np.argmin(row) == item["answer"])
             for row, item in zip(nats, quiz_items(), strict=True)]  # fmt: skip
    assert 0 < np.mean(right) < 1
    assert numbers["acc:quiz"].value == pytest.approx(np.mean(right))
    assert numbers["acc:quiz"].stderr == pytest.approx(spread(right))
    assert (numbers["acc:quiz"].unit, numbers["acc:quiz"].higher_is_better) == ("fraction", True)
    bits = [
        row[item["answer"]] / math.log(2) / len(" " + item["choices"][item["answer"]])
        for row, item in zip(nats, quiz_items(), strict=True)
    ]
    assert numbers["bpb:quiz"].value == pytest.approx(np.mean(bits), rel=1e-5)
    assert numbers["bpb:quiz"].stderr == pytest.approx(spread(bits), rel=1e-4)
    assert (numbers["bpb:quiz"].unit, numbers["bpb:quiz"].higher_is_better) == (
        "bits per byte", False,
    )  # fmt: skip

    whole = [model.nats_of_text(item["text"]) for item in texts()]
    sizes = [len(item["text"]) for item in texts()]
    words = [len(item["text"].split()) for item in texts()]
    assert numbers["bpb:texts"].value == pytest.approx(
        sum(whole) / math.log(2) / sum(sizes), rel=1e-5
    )
    assert numbers["word_perplexity:texts"].value == pytest.approx(
        math.exp(sum(whole) / sum(words)), rel=1e-4
    )
    assert numbers["word_perplexity:texts"].stderr is not None
    assert numbers["word_perplexity:texts"].unit == "perplexity"

    said = [float(model.next_word(item["question"]) == item["question"].split()[0])
            for item in quiz_items()]  # fmt: skip
    assert numbers["exact_match:go_on"].value == pytest.approx(np.mean(said))

    assert {one.tokens for one in result.evaluations} == {3 * 80 * LENGTH}
    assert read_record(trained / "result.json").evaluations == tuple(
        sorted(result.evaluations, key=lambda one: one.task)
    )


def test_items_lie_beside_the_record(trained: Path, tasks: Path) -> None:
    result = evaluate(trained, tasks="quiz,texts", include_path=tasks, report=lambda line: None)
    rows = [row for path in sorted(trained.glob("evaluations/*.parquet"))
            for row in pq.read_table(path).to_pylist()]  # fmt: skip
    for one in result.evaluations:
        mine = [row for row in rows if (row["task"], row["metric"]) == (one.task, one.metric)]
        if one.metric == "word_perplexity" or one.metric == "byte_perplexity":
            assert not mine  # it is no mean
            continue
        assert len({row["item_sha256"] for row in mine}) == one.items
        weights = [row["weight"] for row in mine]
        assert np.average([row["value"] for row in mine], weights=weights) == pytest.approx(
            one.value
        )


def test_the_space_before_an_answer_counts_in_both(trained: Path, tmp_path: Path) -> None:
    """Whether it stands at the end of the question, in the delimiter, or in the answers."""
    folder = tmp_path / "spaces"
    common = {"doc_to_target": "answer"}
    write_task(folder, "delimiter", "multiple_choice", quiz_items(), doc_to_text="{{question}}",
               doc_to_choice="choices", **common)  # fmt: skip
    write_task(folder, "question", "multiple_choice", quiz_items(), doc_to_text="{{question}} ",
               doc_to_choice="choices", target_delimiter="", **common)  # fmt: skip
    write_task(folder, "answers", "multiple_choice",
               [{**item, "choices": [f" {choice}" for choice in item["choices"]]}
                for item in quiz_items()],
               doc_to_text="{{question}}", doc_to_choice="choices", target_delimiter="",
               **common)  # fmt: skip
    numbers = found(
        evaluate(trained, tasks="delimiter,question,answers", include_path=folder,
                 report=lambda line: None).evaluations
    )  # fmt: skip
    bits = {numbers[f"bpb:{name}"].value for name in ("delimiter", "question", "answers")}
    assert max(bits) == pytest.approx(min(bits), rel=1e-6)


def test_a_single_right_answer(trained: Path, tmp_path: Path) -> None:
    """Of output type loglikelihood, with bytes that are no letters of ASCII."""
    folder = tmp_path / "single"
    items = [{"start": "w1 w2", "next": " w3"}, {"start": "w4", "next": " ö w5"}]
    write_task(folder, "single", "loglikelihood", items, doc_to_text="start", doc_to_target="next")
    numbers = found(
        evaluate(trained, tasks="single", include_path=folder, report=lambda line: None).evaluations
    )
    model = Reference(trained)
    bits = [model.nats_of_answer("w1 w2", "w3") / 3, model.nats_of_answer("w4", "ö w5") / 6]
    assert numbers["bpb:single"].value == pytest.approx(np.mean(bits) / math.log(2), rel=1e-5)


def test_examples_come_before_an_item(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    (only,) = shots = [{"question": "w1 w2", "choices": ["w3", "w5"], "answer": 0}]
    write_task(
        folder, "shots", "multiple_choice", quiz_items(3), doc_to_text="{{question}}",
        doc_to_choice="choices", doc_to_target="answer", fewshot_delimiter=" ",
        fewshot_config={"sampler": "first_n", "samples": shots},
    )  # fmt: skip
    none, one = (
        found(evaluate(trained, tasks="shots", include_path=folder, num_fewshot=count,
                       report=lambda line: None).evaluations)["bpb:shots"]
        for count in (0, 1)
    )  # fmt: skip
    assert (none.num_fewshot, one.num_fewshot) == (0, 1)
    model = Reference(trained)
    before = f"{only['question']} {only['choices'][0]} "
    bits = [
        model.nats_of_answer(before + item["question"], item["choices"][item["answer"]])
        / math.log(2) / len(" " + item["choices"][item["answer"]])
        for item in quiz_items(3)
    ]  # fmt: skip
    assert one.value == pytest.approx(np.mean(bits), rel=1e-5)
    assert none.value != pytest.approx(one.value, rel=1e-3)


def test_every_way_to_name_the_model(trained: Path, tasks: Path, tmp_path: Path) -> None:
    """An id, a folder, a record, checkpoints, a Hugging Face folder; a command that prints JSON."""
    (exported,) = trained.glob("huggingface/ba*")
    out = tmp_path / "out"
    values = set()
    for target in ("first", trained, trained / "result.json", tmp_path / "checkpoints", exported):
        found = evaluate(target, tasks="quiz", include_path=tasks, limit=4, out=out, batch_size=8,
                         report=lambda line: None).evaluations  # fmt: skip
        assert {one.items for one in found} == {4}
        values.add(tuple(round(one.value, 6) for one in found))
    assert len(values) == 1
    # What is no run's has a folder of its own.
    assert len(list((out / "models").glob("*/evaluations/quiz-*.json"))) == 2
    done = subprocess.run(
        [sys.executable, "-m", "mixscale", "evaluate", "first", "--tasks", "quiz", "--limit", "4",
         "--include-path", str(tasks), "--out", str(out), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert tuple(round(one["value"], 6) for one in printed["evaluations"]) in values
    assert "1 of 1 tasks have their result already" in done.stderr


def test_a_group_is_summed_up(trained: Path, tasks: Path) -> None:
    write_task(tasks, "small", "multiple_choice", quiz_items(3), doc_to_text="{{question}}",
               doc_to_choice="choices", doc_to_target="answer")  # fmt: skip
    for name, by_size in (("sized", True), ("even", False)):
        (tasks / f"{name}.yaml").write_text(
            json.dumps(
                {
                    "group": name,
                    "task": ["quiz", "small"],
                    "aggregate_metric_list": [{"metric": "acc", "weight_by_size": by_size}],
                }
            )
        )
    sized, even = (
        found(evaluate(trained, tasks=name, include_path=tasks,
                       report=lambda line: None).evaluations)
        for name in ("sized", "even")
    )  # fmt: skip
    for metric in ("acc", "bpb"):
        first, second = (sized[f"{metric}:{task}"].value for task in ("quiz", "small"))
        assert sized[f"{metric}:sized"].value == pytest.approx((12 * first + 3 * second) / 15)
        assert even[f"{metric}:even"].value == pytest.approx((first + second) / 2)
        assert sized[f"{metric}:sized"].items == 15


def test_a_task_that_counts_in_per_cent_is_no_fraction(trained: Path, tmp_path: Path) -> None:
    """Its name says accuracy, but a law must not keep it below 1."""
    folder = tmp_path / "own"
    path = write_task(folder, "percent", "multiple_choice", quiz_items(4),
                      doc_to_text="{{question}}", doc_to_choice="choices",
                      doc_to_target="answer")  # fmt: skip
    (folder / "utils.py").write_text(
        "def percent(doc, results):\n    return {'acc': 100.0, 'odd': float('nan')}\n"
    )
    config = json.loads(path.read_text()) | {"metric_list": [
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True}]}  # fmt: skip
    path.write_text("process_results: !function utils.percent\n" + "".join(
        f"{key}: {json.dumps(value)}\n" for key, value in config.items()))  # fmt: skip
    lines: list[str] = []
    numbers = found(
        evaluate(trained, tasks="percent", include_path=folder, report=lines.append).evaluations
    )
    one = numbers["acc:percent"]
    assert (one.value, one.unit, one.higher_is_better) == (100.0, "", True)
    assert "odd:percent" not in numbers
    assert "warning: task percent: odd is no finite number and left out" in lines
