from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from mixscale.ingest.tokenize.encoder import (
    FAST,
    REFERENCE,
    Encoder,
    EncoderName,
    EncoderSpec,
    first_difference,
)


def spec(folder: Path, name: EncoderName, dtype: str = "<u2") -> EncoderSpec:
    path = folder / "tokenizer.json"
    return EncoderSpec(name=name, model_path=path, eos_token_id=0, dtype=dtype)


@pytest.mark.parametrize("name", [FAST, REFERENCE])
def test_each_text_ends_with_one_end_of_text_token(
    tokenizer_folder: Path, name: EncoderName
) -> None:
    ids, counts = Encoder(spec(tokenizer_folder, name))([b"", b"the quick", b"", b"fox"])
    assert ids.dtype == np.dtype("<u2")
    assert counts[[0, 2]].tolist() == [1, 1]
    ends = np.cumsum(counts) - 1
    assert np.flatnonzero(ids == 0).tolist() == ends.tolist()
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    parts = np.split(ids, ends + 1)
    assert tokenizer.decode(parts[1][:-1].tolist()) == "the quick"
    assert tokenizer.decode(parts[3][:-1].tolist()) == "fox"


@pytest.mark.parametrize("name", [FAST, REFERENCE])
def test_no_texts(tokenizer_folder: Path, name: EncoderName) -> None:
    ids, counts = Encoder(spec(tokenizer_folder, name, "<u4"))([])
    assert (len(ids), len(counts)) == (0, 0)
    assert ids.dtype == np.dtype("<u4")


@pytest.mark.parametrize("name", [FAST, REFERENCE])
def test_text_that_spells_the_token_is_data(tokenizer_folder: Path, name: EncoderName) -> None:
    text = b"<|endoftext|>a <|endoftext|> b<|endoftext|>"
    ids, counts = Encoder(spec(tokenizer_folder, name))([text])
    assert np.flatnonzero(ids == 0).tolist() == [counts[0] - 1]
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    assert tokenizer.decode(ids[:-1].tolist()).encode() == text


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_fast_and_reference_agree(tokenizer_folder: Path, texts: list[str]) -> None:
    encoded = [text.encode("utf-8") for text in texts]
    assert first_difference(spec(tokenizer_folder, FAST), encoded) is None
