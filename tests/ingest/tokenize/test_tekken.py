"""Mistral's tekken.json: merges by rank, special tokens with the first ids."""

import base64
import itertools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import regex
from tokenizers import Tokenizer

from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build
from mixscale.ingest.tokenize.encoder import FAST, EncoderSpec, first_difference
from mixscale.ingest.tokenize.tokenizer_files import install_tokenizer

# The pattern of the published tekken_240911.json.
PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = 10
NAMED = ["<unk>", "<s>", "</s>", "[INST]"]
TEXTS = [
    "the quick brown fox ",
    "over the lazy dog's 123\n\n",
    "na\u00efve caf\u00e9 \u4e2d\u6587 ",
]


def merge(word: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """Join, again and again, the two neighbours whose joint rank is lowest."""
    parts = [bytes([byte]) for byte in word]
    while True:
        joints = [ranks.get(a + b) for a, b in itertools.pairwise(parts)]
        known = [rank for rank in joints if rank is not None]
        if not known:
            return parts
        place = joints.index(min(known))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


def learn(count: int) -> list[bytes]:
    """Learn words by their rank: all bytes, then the commonest pairs."""
    words = [bytes([byte]) for byte in range(256)]
    ranks = {word: rank for rank, word in enumerate(words)}
    pieces = regex.findall(PATTERN, "".join(TEXTS) * 3)
    while len(words) < count:
        pairs: dict[bytes, int] = {}
        for piece in pieces:
            parts = merge(piece.encode(), ranks)
            for a, b in itertools.pairwise(parts):
                pairs[a + b] = pairs.get(a + b, 0) + 1
        if not pairs:
            break
        best = max(sorted(pairs), key=lambda pair: pairs[pair])
        ranks[best] = len(words)
        words.append(best)
    return words


def write_tekken(path: Path, words: Sequence[bytes], **changes: Any) -> Path:
    entries = [
        {"rank": n, "token_bytes": base64.b64encode(word).decode(), "token_str": None}
        for n, word in enumerate(words)
    ]
    # Published files hold more words than they use.
    entries += [{"rank": len(words), "token_bytes": base64.b64encode(b"unused").decode()}]
    special = [{"rank": n, "token_str": name, "is_control": True} for n, name in enumerate(NAMED)]
    content = {
        "config": {
            "pattern": PATTERN,
            "num_vocab_tokens": len(entries),
            "default_vocab_size": len(words) + SPECIAL,
            "default_num_special_tokens": SPECIAL,
            "version": "v7",
        },
        "vocab": entries,
        "special_tokens": special,
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def words() -> list[bytes]:
    return learn(330)


def reference(words: Sequence[bytes]) -> Callable[[str], list[int]]:
    ranks = {word: rank for rank, word in enumerate(words)}

    def encode(text: str) -> list[int]:
        pieces = [piece.encode() for piece in regex.findall(PATTERN, text)]
        assert b"".join(pieces) == text.encode()
        return [
            SPECIAL + ranks[part]
            for piece in pieces
            for part in ([piece] if piece in ranks else merge(piece, ranks))
        ]

    return encode


def random_texts() -> list[str]:
    rng = random.Random(3)
    characters = "the quick's 12\n\r\tDOG \u00e9\u0301\u4e2d\u05d0\U0001faef\x00<s>[INST]/"
    return [
        *TEXTS,
        "",
        "".join(NAMED),
        *("".join(rng.choices(characters, k=40)) for _ in range(500)),
    ]


@pytest.mark.parametrize("named", [True, False])
def test_ids(named: bool, tmp_path: Path, words: list[bytes]) -> None:
    path = write_tekken(tmp_path / "t" / "tekken.json", words)
    name = "t/tekken.json" if named else "t"
    files = install_tokenizer(name, tmp_path, tmp_path / "installed", None, True)
    assert (files.eos_token_id, files.bos_token_id) == (2, 1)
    assert files.vocab_size == len(words) + SPECIAL
    tokenizer = Tokenizer.from_file(str(files.model_path))
    tokenizer.encode_special_tokens = True
    encode = reference(words)
    for text in random_texts():
        assert tokenizer.encode(text, add_special_tokens=False).ids == encode(text), text
    assert tokenizer.token_to_id("[INST]") == 3
    assert tokenizer.token_to_id("<SPECIAL_9>") == 9
    spec = EncoderSpec(name=FAST, model_path=files.model_path, eos_token_id=2, dtype="<u2")
    assert first_difference(spec, [text.encode() for text in random_texts()]) is None
    assert path.is_file()


def test_a_file_without_named_special_tokens(tmp_path: Path, words: list[bytes]) -> None:
    write_tekken(tmp_path / "tekken.json", words, special_tokens=None)
    files = install_tokenizer("tekken.json", tmp_path, tmp_path / "installed", None, True)
    assert (files.eos_token, files.eos_token_id, files.bos_token) == ("</s>", 2, "<s>")


def test_a_build(
    tmp_path: Path,
    words: list[bytes],
    write_lines: Callable,
    write_corpus: Callable,
    read_built: Any,
) -> None:
    write_tekken(tmp_path / "t" / "tekken.json", words)
    texts = [f"{n} {TEXTS[n % 3]}{TEXTS[n % 2]}<s>" for n in range(40)]
    write_lines("d/a.jsonl", [{"text": text} for text in texts])
    corpus = write_corpus(domains={"d": {"paths": "d/*"}}, tokenizer="t")
    shardset = build(corpus, tmp_path / "out", workers=1, progress=False)
    assert shardset.versions["encoder"] == FAST
    encode = reference(words)
    expected = [token for text in texts for token in [*encode(text), 2]]
    found = np.concatenate(read_built(tmp_path / "out").samples("d", "train")).tolist()
    assert found == expected[: len(found)]


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab": [{"rank": 0}]},
        {"vocab": [{"token_bytes": "*"}] * 400},
        {"vocab": None},
        {"vocab": [{"token_bytes": "YQ=="}] * 400},
        {"config": {"pattern": PATTERN}},
        {"config": {"pattern": "(", "default_vocab_size": 340, "default_num_special_tokens": 10}},
    ],
)
def test_a_damaged_file(changes: Any, tmp_path: Path, words: list[bytes]) -> None:
    write_tekken(tmp_path / "tekken.json", words, **changes)
    with pytest.raises(UserError, match=r"tekken\.json: not a tekken\.json that can be read"):
        install_tokenizer("tekken.json", tmp_path, tmp_path / "installed", None)
