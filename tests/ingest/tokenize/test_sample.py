"""The text that a tokenizer is trained on."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import mixscale as ms

WORDS = 3000


def _corpus(folder: Path, files: int, words_in_all: int) -> Path:
    """So many files with as many words each, the same words in all whatever the number of files."""
    rng = random.Random(1)
    known = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(WORDS)]
    texts = rng.choices(known, k=words_in_all)
    each = words_in_all // files
    (folder / "text").mkdir(parents=True)
    for i in range(files):
        own = " ".join(texts[i * each : (i + 1) * each])
        (folder / "text" / f"{i:04}.txt").write_text(own)
    path = folder / "corpus.yaml"
    path.write_text(
        "domains: {words: {paths: text/*.txt}}\n"
        "tokenizer: {train: {vocab_size: 2000, sample_bytes: 400000}}\n"
        "sequence_length: 32\n"
    )
    return path


@pytest.mark.parametrize("files", [40, 2000])
def test_small_files_train_as_many_tokens_as_large_ones(tmp_path: Path, files: int) -> None:
    ms.build(_corpus(tmp_path, files, 40_000), tmp_path / "out")
    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer" / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 2000
