"""Tasks and models that cannot be evaluated: one message with the task, the file, the field."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForMaskedLM

from mixscale.api.evaluation import evaluate
from mixscale.cli.main import main
from mixscale.contracts.errors import UserError
from mixscale.contracts.evaluation import FOLDER

from .conftest import quiz_items, write_task

QUIZ = {"doc_to_text": "{{question}}", "doc_to_choice": "choices", "doc_to_target": "answer"}
Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Ask for tasks of the folder `own`, of a model that is not there: data comes first."""

    def ask(tasks: str, **options: Any) -> str:
        with pytest.raises(UserError) as caught:
            evaluate(tmp_path / "no model", tasks=tasks, include_path=tmp_path / "own",
                     report=lambda line: None, **options)  # fmt: skip
        return str(caught.value)

    (tmp_path / "own").mkdir()
    return ask


def test_an_unknown_task_gets_near_names(refused: Refused, tmp_path: Path) -> None:
    write_task(tmp_path / "own", "capitals", "multiple_choice", quiz_items(), **QUIZ)
    (tmp_path / "own" / "broken.yaml").write_text("task: [unclosed\n")
    message = refused("capitols")
    assert "unknown task 'capitols'" in message
    assert "Did you mean 'capitals'" in message
    assert "broken.yaml cannot be read" in message
    assert "'arc_easy'" in refused("arc_eazy")


def test_without_network_a_task_of_the_hub_is_refused_at_once(
    refused: Refused, tmp_path: Path
) -> None:
    path = write_task(tmp_path / "own", "far", "multiple_choice", None, **QUIZ)
    config = json.loads(path.read_text()) | {"dataset_path": "someone/somewhere"}
    del config["dataset_kwargs"]
    path.write_text(json.dumps(config))
    message = refused("far")
    assert "task far (someone/somewhere): its data is not in the hub's cache" in message
    assert "HF_HUB_OFFLINE is set" in message


def test_an_unreachable_hub_is_found_out_before_anything_waits_for_it(tmp_path: Path) -> None:
    """Without HF_HUB_OFFLINE, and with an address where nobody answers."""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-m", "mixscale", "evaluate", str(tmp_path), "--tasks", "arc_easy"],
        capture_output=True, text=True, check=False,
        env=environment | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")},
    )  # fmt: skip
    assert done.returncode == 2
    assert "task arc_easy (allenai/ai2_arc" in done.stderr
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr
    assert "Retry" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"doc_to_text": "{{qestion}}"},
         r"doc_to_text: item 0 lacks the field 'qestion'.*Did you mean 'question'"),
        ({"doc_to_text": "qestion"},
         r"item 0 lacks the field 'qestion'.*Did you mean 'question'"),
        ({"doc_to_choice": "options"}, r"options"),
        ({"doc_to_target": "{{labl}}"}, r"labl"),
        ({"test_split": "validation"}, r"test_split: its data has no split 'validation'"),
        ({"doc_to_text": "{{question"}, r"its template cannot be read"),
        ({"metric_list": [{"metric": "accuracy_of_mine"}]}, r"accuracy_of_mine"),
        ({"output_type": "essay"}, r"essay"),
    ],
)  # fmt: skip
def test_a_missing_field_is_named(
    changed: dict[str, Any], message: str, refused: Refused, tmp_path: Path
) -> None:
    write_task(tmp_path / "own", "quiz", "multiple_choice", quiz_items(), **{**QUIZ, **changed})
    said = refused("quiz")
    assert said.startswith(f"task quiz ({tmp_path / 'own' / 'quiz.jsonl'})")
    assert re.search(message, said), said


def test_a_field_that_one_line_lacks_is_found_before_the_model_is_loaded(
    refused: Refused, tmp_path: Path
) -> None:
    items = quiz_items(6)
    del items[4]["question"]
    write_task(tmp_path / "own", "holes", "multiple_choice", items, **QUIZ)
    assert "item 4: ['question'] are null" in refused("holes")
    # What is not asked may be as it is.
    assert "no run of this id" in refused("holes", limit=4)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "quiz.jsonl"), (b"{not json\n", "quiz.jsonl"), (b"", "quiz")],
    ids=["missing", "damaged", "empty"],
)
def test_a_file_that_cannot_be_read_is_named(
    content: bytes | None, message: str, refused: Refused, tmp_path: Path
) -> None:
    write_task(tmp_path / "own", "quiz", "multiple_choice", None, **QUIZ)
    if content is not None:
        (tmp_path / "own" / "quiz.jsonl").write_bytes(content)
    said = refused("quiz")
    assert said.startswith("task quiz (")
    assert message in said


def test_what_has_no_right_answer_is_refused_or_told(
    trained: Path, refused: Refused, tmp_path: Path
) -> None:
    items = [{**item, "answer": -1} for item in quiz_items(4)]
    write_task(tmp_path / "own", "hidden", "multiple_choice", items, **QUIZ)
    assert "names none of the choices of any item" in refused("hidden")
    write_task(tmp_path / "own", "some", "multiple_choice", [*quiz_items(3), *items[:1]], **QUIZ)
    lines: list[str] = []
    result = evaluate(trained, tasks="some", include_path=tmp_path / "own", report=lines.append)
    assert any("1 of 4 items have no right answer" in line for line in lines)
    assert {one.metric: one.items for one in result.evaluations} == {
        "acc": 4, "acc_norm": 4, "bpb": 3,
    }  # fmt: skip


def test_a_python_file_of_a_task_that_fails_is_named(refused: Refused, tmp_path: Path) -> None:
    path = write_task(tmp_path / "own", "quiz", "multiple_choice", quiz_items(4), **QUIZ)
    (tmp_path / "own" / "broken.py").write_text("raise RuntimeError('no such thing')\n")
    config = json.loads(path.read_text())
    path.write_text(
        "process_results: !function broken.grade\n"
        + "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items())
    )
    said = refused("quiz")
    assert said.startswith("task quiz (")
    assert "RuntimeError: no such thing" in said


def test_an_empty_text_is_refused(refused: Refused, tmp_path: Path) -> None:
    write_task(
        tmp_path / "own", "texts", "loglikelihood_rolling", [{"text": "w1"}, {"text": ""}],
        doc_to_text="", doc_to_target="{{text}}",
    )  # fmt: skip
    assert "the text of item 1 is empty" in refused("texts")


def test_more_examples_than_there_are(refused: Refused, tmp_path: Path) -> None:
    write_task(tmp_path / "own", "quiz", "multiple_choice", quiz_items(4), **QUIZ)
    assert "num_fewshot is 9, and it has 4 examples" in refused("quiz", num_fewshot=9)


def test_without_lm_eval_the_line_to_type_is_said(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "lm_eval" else found(name)
    )
    assert "needs lm_eval: pip install 'mixscale[eval]'" in refused("quiz")


def test_code_is_not_run(refused: Refused, tmp_path: Path) -> None:
    write_task(tmp_path / "own", "code", "multiple_choice", quiz_items(), unsafe_code=True, **QUIZ)
    assert "it runs programs that the model writes" in refused("code")


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    trained: Path, tasks: Path, tmp_path: Path
) -> None:
    """A config whose weights nobody has."""
    (exported,) = trained.glob("huggingface/ba*")
    config = AutoConfig.from_pretrained(exported)
    config.n_embd, config.n_layer, config.n_head = 2**20, 10, 64
    config.save_pretrained(tmp_path / "huge")
    with pytest.raises(UserError, match=r"huge: the model needs about .* TiB and the machine has"):
        evaluate(tmp_path / "huge", tasks="quiz", include_path=tasks, device="cpu",
                 report=lambda line: None)  # fmt: skip


def test_a_masked_model_has_no_likelihoods(trained: Path, tasks: Path, tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "bert", vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path / "masked")
    with pytest.raises(UserError, match="BertForMaskedLM fills gaps"):
        evaluate(tmp_path / "masked", tasks="quiz", include_path=tasks, report=lambda line: None)


def test_more_is_asked_than_the_model_sees(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    common = {"doc_to_text": "{{question}}", "doc_to_target": "{{choices[0]}}"}
    write_task(folder, "essay", "generate_until", quiz_items(), **common,
               generation_kwargs={"until": ["\n"], "max_gen_toks": 500})  # fmt: skip
    with pytest.raises(UserError, match=r"task essay: generation_kwargs: .* 500 tokens, and .* 32"):
        evaluate(trained, tasks="essay", include_path=folder, report=lambda line: None)
    assert not list(trained.glob(f"{FOLDER}/*.json"))

    long = [{**item, "question": "w1 " * 100} for item in quiz_items(2)]
    write_task(folder, "long", "multiple_choice", long, **QUIZ)
    lines: list[str] = []
    evaluate(trained, tasks="long", include_path=folder, report=lines.append)
    assert any("6 of 6 requests are longer than the 32 tokens" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--tasks", "quiz"], "nothing: no run of this id or folder"),
        (["first", "--tasks", ","], "tasks: no name is given"),
        (["first"], "give SHARDSET, for losses, or --tasks"),
        (["first", "--tasks", "quiz", "--device", "cuda:7"], "GPUs are there"),
        (["first", "--tasks", "quiz", "--device", "abacus"], "device: 'abacus' is unknown"),
        (["first", "--tasks", "quiz", "--batch-size", "some"], "write auto or a whole number"),
        (["firsd", "--tasks", "quiz"], "Did you mean 'first'"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    arguments: list[str],
    message: str,
    trained: Path,
    tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ["--include-path", str(tasks)] if "--tasks" in arguments else []
    given = ["mixscale", "evaluate", *arguments, "--out", str(tmp_path / "out"), *own]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
