"""A small BERT, really pre-trained, evaluated, and fine-tuned on sentences in local files."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from transformers import AutoModelForSequenceClassification

import mixscale as ms
from examples.bert.finetune import Encoder, Recipe, Sentence, finetune, read_sentences
from examples.bert.sentences import sentences_of
from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig, load_run_config, to_plain
from mixscale.train.run.training import train

ROOT = Path(__file__).resolve().parents[2]
GOOD, BAD = ("bright", "lovely", "warm", "clever"), ("dull", "awful", "cold", "clumsy")
THINGS = ("film", "meal", "book", "song", "room", "garden", "play", "walk")
RECIPE = Recipe(epochs=4, learning_rate=2e-3, batch_size=8)


def sentence(rng: random.Random, words: tuple[str, ...]) -> str:
    first, second = rng.choice(THINGS), rng.choice(THINGS)
    return f"The {first} was {rng.choice(words)} and the {second} was {rng.choice(words)}."


def labelled(count: int, seed: int) -> list[Sentence]:
    rng = random.Random(seed)
    kinds = [("good", GOOD), ("bad", BAD)]
    return [
        Sentence(text=sentence(rng, words), label=label)
        for label, words in (rng.choice(kinds) for _ in range(count))
    ]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Hugging Face folder of a BERT trained on two domains, as run.yaml describes it."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("bert")
    rng = random.Random(0)
    for domain, words in (("praise", GOOD), ("blame", BAD)):
        lines = [
            {"text": f"{number}. " + " ".join(sentence(rng, words) for _ in range(6))}
            for number in range(150)
        ]
        (root / f"{domain}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (root / "corpus.yaml").write_text(
        "domains: {praise: {paths: [praise.jsonl]}, blame: {paths: [blame.jsonl]}}\n"
        "tokenizer: {train: {vocab_size: 320}}\nsequence_length: 32\nsplit: {validation: 0.2}\n"
    )
    ms.build(root / "corpus.yaml", root / "shardset")
    values = to_plain(load_run_config(ROOT / "examples" / "bert" / "run.yaml"))
    streams = {
        name: {"local": str(root / "shardset" / name), "split": "train", "proportion": 0.5}
        for name in ("praise", "blame")
    }
    values |= {
        "max_seq_len": 32,
        "tokenizer": values["tokenizer"] | {"name": str(root / "shardset" / "tokenizer")},
        "train_loader": {"dataset": {"streams": streams, "shuffle": True, "epoch_size": 320}},
        "eval_loader": [
            {"label": name, "dataset": {"streams": {name: {"local": place["local"],
                                                           "split": "validation"}}}}
            for name, place in streams.items()
        ],
        "max_duration": "4ep",
        "eval_interval": "1ep",
        "callbacks": {"hf_checkpointer": {"save_folder": str(root / "model")}},
    }  # fmt: skip
    values["model"]["config_overrides"] = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }  # fmt: skip
    record = train(validate(values, RunConfig, "test"), root / "run")
    assert record.status == "finished"
    first, *_, last = record.learning_curve
    assert sum(last.losses.values()) < sum(first.losses.values())
    # Far above one in 320 tokens.
    assert all((loss.masked_accuracy or 0) > 0.1 for loss in record.evaluation.values())
    (folder,) = (root / "model").glob("huggingface/ba*")
    return folder


def test_the_run_of_the_example_is_a_config() -> None:
    config = load_run_config(ROOT / "examples" / "bert" / "run.yaml")
    assert config.model.name == "hf_masked_lm"
    YAML().load((ROOT / "examples" / "bert" / "corpus.yaml").read_text())


def test_fine_tuning_learns_what_the_sentences_say(pretrained: Path) -> None:
    result = finetune(pretrained, labelled(160, 1), labelled(60, 2), RECIPE)
    assert result.labels == ("bad", "good")
    assert result.accuracy > max(result.majority, 0.8)
    assert result.matthews > 0.5
    assert result.standard_error == pytest.approx(
        (result.accuracy * (1 - result.accuracy) / 60) ** 0.5
    )
    assert (result.sentences, result.cut) == (60, 0)
    assert finetune(pretrained, labelled(160, 1), labelled(60, 2), RECIPE) == result


def test_padding_changes_no_answer(pretrained: Path) -> None:
    from mixscale.train.config import TokenizerConfig
    from mixscale.train.run.model import load_tokenizer

    tokenizer = load_tokenizer(TokenizerConfig(name=str(pretrained)))
    encode = Encoder(tokenizer, ["bad", "good"], 32)
    model = AutoModelForSequenceClassification.from_pretrained(pretrained, num_labels=2).eval()
    sentences = [Sentence(text="The film was dull.", label="bad"), labelled(1, 3)[0]]
    batch = encode(sentences)
    assert batch["attention_mask"].sum(1).tolist() == [
        len(encode.tokens(one.text)) for one in sentences
    ]
    with torch.no_grad():
        together = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        for row, one in zip(together, sentences, strict=True):
            alone = model(encode([one])["input_ids"]).logits[0]
            assert row.tolist() == pytest.approx(alone.tolist(), abs=1e-5)


def test_the_command_reads_jsonl_and_csv(pretrained: Path, tmp_path: Path) -> None:
    rows = [{"text": one.text, "label": one.label} for one in labelled(40, 4)]
    (tmp_path / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n\n" for row in rows))
    with (tmp_path / "validation.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["label", "text"])
        writer.writeheader()
        writer.writerows(rows[:12])
    assert (
        read_sentences(tmp_path / "validation.csv") == read_sentences(tmp_path / "train.jsonl")[:12]
    )
    done = subprocess.run(
        [sys.executable, "-m", "examples.bert.finetune", str(pretrained), "--train",
         str(tmp_path / "train.jsonl"), "--validation", str(tmp_path / "validation.csv"),
         "--epochs", "1", "--max-length", "6"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["sentences"], result["cut"]) == (12, 52)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"text": "x"}\n', r"a\.jsonl:2: no label"),
        ("a.jsonl", '{"text": "x", "label": "y"}\n{"text": \n', r"a\.jsonl:2: no JSON"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1: expected an object"),
        ("a.jsonl", "", r"a\.jsonl: no sentences"),
        ("a.csv", "text,labels\nx,y\n", r"a\.csv:2: no label \(found \['labels', 'text'\]\)"),
        ("b.jsonl", None, r"b\.jsonl: cannot read"),
    ],
)
def test_files_that_cannot_be_read(
    name: str, content: str | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_sentences(tmp_path / name)


def test_labels_must_fit(pretrained: Path, tmp_path: Path) -> None:
    one = [Sentence(text="x", label="good")]
    with pytest.raises(UserError, match="there is nothing to learn"):
        finetune(pretrained, one, one, RECIPE)
    other = [Sentence(text="x", label="odd")]
    with pytest.raises(UserError, match=r"labels that training lacks: \['odd'\]"):
        finetune(pretrained, labelled(9, 1), other, RECIPE)
    with pytest.raises(UserError, match="cannot load"):
        finetune(tmp_path, labelled(9, 1), labelled(9, 1), RECIPE)


def test_sentences_come_from_documents(tmp_path: Path) -> None:
    text = "Short. This sentence is long enough to be taken for the example, surely. End"
    (tmp_path / "a.jsonl").write_text(
        f"{json.dumps({'text': text})}\n{json.dumps({'text': 'No.'})}\n"
    )
    assert list(sentences_of(tmp_path)) == [
        "This sentence is long enough to be taken for the example, surely."
    ]
