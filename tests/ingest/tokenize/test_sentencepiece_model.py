"""SentencePiece models: the ids are those of SentencePiece itself, or the model is refused."""

import io
import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build
from mixscale.ingest.tokenize.tokenizer_files import install_tokenizer

spm = pytest.importorskip("sentencepiece")

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dog",
    "naïve",
    "café",
    "中文",
    "ﬁne",
]
LIKE_LLAMA: dict[str, Any] = {
    "model_type": "bpe",
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "byte_fallback": True,
}


def train(folder: Path, **settings: Any) -> Path:
    """Train a model of 300 pieces, in a folder with nothing else."""
    rng = random.Random(1)
    lines = [" ".join(rng.choices(WORDS, k=12)) for _ in range(400)]
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        **{
            "vocab_size": 300,
            "hard_vocab_limit": False,
            "character_coverage": 0.99,
            "minloglevel": 2,
            **LIKE_LLAMA,
            **settings,
        },
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.model"
    path.write_bytes(model.getvalue())
    return path


def texts(characters: str) -> list[str]:
    rng = random.Random(2)
    found = ["".join(rng.choices(characters, k=30)) for _ in range(500)]
    return [*found, "", " ", "\n\n", "Hello world", " lead", "trail ", "  two  ", "<s>a</s>"]


ANY = "abc de.'s 1\n\r\t  \u3000\u2581<s></s>[INST]\u4e2d\u6587\u00e9\u0301\u05d0\U0001faef\x00"
UNCHANGED_BY_NFKC = "abc de.'s 1\n\t  <s></s>[INST]\u4e2d\u6587\u00e9\u05d0\U0001faef\u2460\ufb01"


@pytest.mark.parametrize(
    ("settings", "characters"),
    [
        ({}, ANY),
        ({"add_dummy_prefix": False}, ANY),
        ({"byte_fallback": False}, ANY),
        ({"remove_extra_whitespaces": True}, ANY),
        ({"remove_extra_whitespaces": True, "add_dummy_prefix": False}, ANY),
        ({"model_type": "unigram"}, ANY),
        ({"model_type": "unigram", "remove_extra_whitespaces": True}, ANY),
        ({"user_defined_symbols": ["<sep>", "<b>"], "add_dummy_prefix": False}, ANY),
        ({"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "eos_piece": "<eos>"}, ANY),
        (
            {"normalization_rule_name": "nmt_nfkc", "remove_extra_whitespaces": True},
            UNCHANGED_BY_NFKC,
        ),
        ({"normalization_rule_name": "nfkc_cf"}, UNCHANGED_BY_NFKC),
    ],
)
def test_ids(settings: dict[str, Any], characters: str, tmp_path: Path) -> None:
    path = train(tmp_path / "t", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if "normalization_rule_name" in settings else "error")
        files = install_tokenizer(str(path.parent), tmp_path, tmp_path / "installed", None)
    reference = spm.SentencePieceProcessor(model_file=str(path))
    tokenizer = Tokenizer.from_file(str(files.model_path))
    tokenizer.encode_special_tokens = True
    differing = [
        text
        for text in texts(characters)
        if tokenizer.encode(text, add_special_tokens=False).ids != reference.encode(text)
    ]
    assert differing == []
    assert files.vocab_size == reference.vocab_size()
    assert files.eos_token_id == reference.eos_id()
    assert files.eos_token == reference.id_to_piece(reference.eos_id())


@pytest.mark.parametrize("named", [False, True])
def test_a_build(
    named: bool, tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_built: Any
) -> None:
    path = train(tmp_path / "t")
    (tmp_path / "t" / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", "bos_token": None, "unk_token": "<unk>"})
    )
    written = [" ".join(random.Random(n).choices(WORDS, k=20)) for n in range(40)]
    write_lines("d/a.jsonl", [{"text": text} for text in [*written, "<s> is </s> data"]])
    tokenizer = {"name": "t/tokenizer.model" if named else "t", "bos_token": True}
    corpus = write_corpus(
        domains={"d": {"paths": "d/*"}}, tokenizer=tokenizer, duplicates={"scope": "none"}
    )
    shardset = build(corpus, tmp_path / "out", workers=1, progress=False)
    assert (shardset.tokenizer.bos_token, shardset.tokenizer.eos_token) == ("<s>", "</s>")
    reference = spm.SentencePieceProcessor(model_file=str(path))
    expected = [
        token
        for text in [*written, "<s> is </s> data"]
        for token in [reference.bos_id(), *reference.encode(text), reference.eos_id()]
    ]
    found = np.concatenate(read_built(tmp_path / "out").samples("d", "train")).tolist()
    assert found == expected[: len(found)]
    assert len(expected) - len(found) < 16


@pytest.mark.parametrize(
    "settings",
    [
        {"treat_whitespace_as_suffix": True},
        {"user_defined_symbols": ["<sep>"]},
        {"normalization_rule_name": "nmt_nfkc"},
    ],
)
def test_a_model_whose_ids_would_differ_is_refused(settings: Any, tmp_path: Path) -> None:
    path = train(tmp_path / "t", **settings)
    with pytest.raises(UserError, match=r"gives the same ids \(for example"):
        install_tokenizer(str(path), tmp_path, tmp_path / "installed", None)


@pytest.mark.parametrize("data", [b"", b"no model", b"\x0a\xff"])
def test_what_is_no_model(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(UserError, match="not a SentencePiece model that can be read"):
        install_tokenizer("tokenizer.model", tmp_path, tmp_path / "installed", None)
