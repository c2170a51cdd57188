"""A token that every text begins with, when the settings ask for one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import ShardSet
from mixscale.ingest.build import build
from mixscale.ingest.tokenize.tokenizer_files import save_trained
from mixscale.shards.sql.query import query_arrow
from mixscale.shards.verify.verify import verify

TEXTS = [f"{n} the quick brown fox jumps over <s> lazy dogs" for n in range(30)]


def quiet(corpus: Path, out: Path, **options: Any) -> ShardSet:
    return build(corpus, out, **{"workers": 1, "progress": False, **options})


@pytest.fixture
def with_bos(tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A tokenizer whose files name the token `<s>`."""
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<s>", "<other>"])
    save_trained(tokenizer, tmp_path / "with_bos", "<|endoftext|>", "<s>")
    return tmp_path / "with_bos"


@pytest.mark.parametrize(
    ("asked_for", "token"),
    [(True, "<s>"), ("<s>", "<s>"), ("<other>", "<other>"), ("<|endoftext|>", "<|endoftext|>")],
)
def test_every_text_begins_with_it(
    asked_for: Any,
    token: str,
    tmp_path: Path,
    with_bos: Path,
    write_lines: Callable,
    write_corpus: Callable,
    read_built: Callable,
) -> None:
    write_lines("d/a.jsonl", [{"text": text} for text in TEXTS])
    tokenizer = {"name": str(with_bos), "bos_token": asked_for}
    corpus = write_corpus(domains={"d": {"paths": "d/*"}}, tokenizer=tokenizer)
    shardset = quiet(corpus, tmp_path / "out")
    built = read_built(tmp_path / "out")
    begin, end = (built.tokenizer.token_to_id(name) for name in (token, "<|endoftext|>"))
    expected = [
        [begin, *built.tokenizer.encode(text, add_special_tokens=False).ids, end] for text in TEXTS
    ]
    stream = [token for ids in expected for token in ids]
    found = np.concatenate(built.samples("d", "train")).tolist()
    assert found == stream[: len(found)]
    assert len(stream) - len(found) < 16
    assert [row["tokens"] for row in built.documents("d")] == list(map(len, expected))
    assert (shardset.tokenizer.bos_token, shardset.tokenizer.bos_token_id) == (token, begin)
    row = query_arrow(tmp_path / "out", "SELECT bos_token, bos_token_id FROM shardset").to_pylist()
    assert row == [{"bos_token": token, "bos_token_id": begin}]
    settings = json.loads((tmp_path / "out" / "tokenizer" / "tokenizer_config.json").read_text())
    assert settings["bos_token"] == token
    assert verify(tmp_path / "out", progress=False).sound
    shard = tmp_path / "out" / "d" / "train" / "shard.00000.mds"
    data = bytearray(shard.read_bytes())
    begins = shard.stat().st_size - len(found) * 2
    data[begins : begins + 2] = (end if begin != end else 1).to_bytes(2, "little")
    shard.write_bytes(data)
    problems = [problem.message for problem in verify(tmp_path / "out", progress=False).problems]
    assert any("token 0 of sample 0 is not the beginning-of-text token" in p for p in problems)


def test_growing_keeps_it(
    tmp_path: Path,
    with_bos: Path,
    write_lines: Callable,
    write_corpus: Callable,
    read_tree: Callable,
) -> None:
    write_lines("d/a.jsonl", [{"text": text} for text in TEXTS[:20]])
    tokenizer: dict[str, Any] = {"name": str(with_bos), "bos_token": True}
    corpus = write_corpus(domains={"d": {"paths": "d/*"}}, tokenizer=tokenizer)
    quiet(corpus, tmp_path / "out")
    write_lines("d/b.jsonl", [{"text": text} for text in TEXTS[20:]])
    quiet(corpus, tmp_path / "out")
    quiet(corpus, tmp_path / "fresh")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "fresh")
    tokenizer["bos_token"] = False
    with pytest.raises(UserError, match=r"tokenizer\.bos_token: was true, is absent"):
        quiet(write_corpus(domains={"d": {"paths": "d/*"}}, tokenizer=tokenizer), tmp_path / "out")


def test_a_trained_tokenizer_gets_it(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable
) -> None:
    write_lines("d/a.jsonl", [{"text": text} for text in TEXTS])
    train = {"train": {"vocab_size": 280}, "bos_token": "<begin>"}
    corpus = write_corpus(domains={"d": {"paths": "d/*"}}, tokenizer=train)
    summary = quiet(corpus, tmp_path / "out").tokenizer
    assert (summary.vocab_size, summary.bos_token, summary.bos_token_id) == (280, "<begin>", 1)


def test_without_it_nothing_is_different(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable
) -> None:
    write_lines("d/a.jsonl", [{"text": text} for text in TEXTS])
    quiet(write_corpus(domains={"d": {"paths": "d/*"}}), tmp_path / "out")
    assert (
        "bos_token" not in json.loads((tmp_path / "out" / "shardset.json").read_text())["tokenizer"]
    )
    row = query_arrow(tmp_path / "out", "SELECT bos_token, bos_token_id FROM shardset").to_pylist()
    assert row == [{"bos_token": None, "bos_token_id": None}]


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({"bos_token": "<none>"}, "beginning-of-text token '<none>' is not in the vocabulary"),
        ({"bos_token": True}, "names no beginning-of-text token"),
        ({"name": None, "train": {"vocab_size": 300}, "bos_token": True}, "write the token"),
    ],
)
def test_mistakes(
    tokenizer: dict[str, Any],
    message: str,
    tmp_path: Path,
    tokenizer_folder: Path,
    write_lines: Callable,
    write_corpus: Callable,
) -> None:
    write_lines("d/a.jsonl", [{"text": text} for text in TEXTS])
    settings = {"name": str(tokenizer_folder), **tokenizer}
    with pytest.raises(UserError, match=message):
        quiet(write_corpus(domains={"d": {"paths": "d/*"}}, tokenizer=settings), tmp_path / "out")
