"""The summary of a shard set, and its hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import ShardSet, content_sha256, read_shardset
from tests.shards.small_shardsets import make_shardset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_shardset(folder, domains=["a", "b"], documents=20)
    return folder


@pytest.fixture
def shardset(folder: Path) -> ShardSet:
    return read_shardset(folder)


def test_streams_and_tokens(shardset: ShardSet) -> None:
    assert shardset.domain_names == ("a", "b")
    assert shardset.streams == ("a/train", "a/validation", "b/train", "b/validation")
    train = shardset.domains["a"]["train"]
    assert shardset.train_tokens("a") == train.tokens - train.remainder_tokens


def test_the_seal_is_the_hash_of_the_rest(folder: Path, shardset: ShardSet) -> None:
    values = json.loads((folder / "shardset.json").read_text())
    seal = values.pop("sha256")
    assert seal == hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    assert shardset.model_copy(update={"mixscale_version": "1"}).sealed().sha256 != seal


def test_the_content_hash_depends_on_tokenizer_names_and_streams(shardset: ShardSet) -> None:
    lines = [f"{shardset.tokenizer.sha256}  tokenizer"] + [
        f"{summary.sha256}  {domain}/{split}"
        for domain, splits in shardset.domains.items()
        for split, summary in splits.items()
    ]
    text = "".join(f"{line}\n" for line in lines)
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert content_sha256(shardset.tokenizer.sha256, shardset.domains) == expected
    assert shardset.content_sha256 == expected
    renamed = {"c": shardset.domains["a"], "b": shardset.domains["b"]}
    assert content_sha256(shardset.tokenizer.sha256, renamed) != expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"not a finished shard set \(no shardset\.json\); make or finish it with"),
        ("{", r"shardset\.json: not JSON .*; build the shard set again"),
        ('{"format": "unfinished"}', "a copy that was not finished"),
        ('{"format": 9}', r"shard set format 9; this version reads 1"),
        ('{"format": 1}', r"shardset\.json: sequence_length: missing"),
    ],
)
def test_what_cannot_be_read_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "shardset.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_shardset(tmp_path)
