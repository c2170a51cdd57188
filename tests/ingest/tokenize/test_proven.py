"""The ids are those of the reference for any text, whatever the fast encoder knows of Unicode."""

import random
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, trainers
from tokenizers import pre_tokenizers as pre

from mixscale.ingest.tokenize.encoder import FAST, REFERENCE, Encoder, EncoderSpec
from mixscale.ingest.tokenize.proven import ProvenTexts, normal_forms

# The patterns of the published tokenizers (their tokenizer.json, `pre_tokenizer`).
_LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT4 = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s+"
)
_DEEPSEEK = (
    r"\p{N}{1,3}",
    # From one character of each block to its last.
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    # Its line ends are characters, not escapes.
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^RN\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[RN]*|\s*[RN]+|\s+(?!\S)|\s+".replace("RN", "\r\n"),
)
_BYTES = pre.ByteLevel(add_prefix_space=False, use_regex=False)


def _splits(*patterns: str) -> Any:
    return pre.Sequence([*(pre.Split(Regex(p), "isolated") for p in patterns), _BYTES])


KINDS: dict[str, tuple[Any, Any]] = {
    "gpt2": (None, pre.ByteLevel(add_prefix_space=False)),
    "llama3": (None, _splits(_LLAMA)),
    "qwen": (normalizers.NFC(), _splits(_LLAMA.replace(r"\p{N}{1,3}", r"\p{N}"))),
    "gpt4": (None, _splits(_GPT4)),
    "deepseek3": (normalizers.Sequence([]), _splits(*_DEEPSEEK)),
}
ADDED = [
    AddedToken("stent", single_word=True, normalized=True),
    AddedToken("<left>", lstrip=True, normalized=False),
    AddedToken("<right>", rstrip=True, normalized=True),
    AddedToken("caf\u00e9", normalized=True),
    AddedToken("re\u0301sume\u0301", normalized=True),
    AddedToken("    ", normalized=False),
    AddedToken("<plain>", normalized=False),
]


def train(kind: str, folder: Path, added: Sequence[AddedToken] = ()) -> Path:
    normalizer, splitter = KINDS[kind]
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre.ByteLevel.alphabet()),
        show_progress=False,
    )
    rng = random.Random(1)
    texts = ["".join(rng.choices("abc de.'s 1\n中文é\u0301אع", k=80)) for _ in range(400)]
    texts += ["".join(map(chr, rng.sample(range(0xA1, 0x3000), 60))) for _ in range(60)]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(added))
    path = folder / f"{kind}.json"
    tokenizer.save(str(path))
    return path


def differing(path: Path, texts: Sequence[str]) -> list[str]:
    encoded = [text.encode() for text in texts]
    split = []
    for name in (FAST, REFERENCE):
        spec = EncoderSpec(name=name, model_path=path, eos_token_id=0, dtype="<u4")
        ids, counts = Encoder(spec)(encoded)
        split.append(np.split(ids, np.cumsum(counts)))
    return [t for t, a, b in zip(texts, *split, strict=False) if not np.array_equal(a, b)]


def assigned() -> list[str]:
    """All assigned characters, and those next to them that newer versions of Unicode assign."""
    found = [
        c for c in map(chr, range(0x80, sys.maxunicode + 1)) if unicodedata.category(c) != "Co"
    ]
    return [c for c in found if unicodedata.category(c) != "Cs" and ord(c) < 0x32400]


def random_texts(characters: Sequence[str], count: int) -> list[str]:
    rng = random.Random(2)
    usual = [*"aZ1 .'\n\t s", "'s", "  ", "\u0301", "\u0323", "é", "e\u0301", "\u212b"]
    return [
        "".join(rng.choices([*usual, *rng.choices(characters, k=4)], k=30)) for _ in range(count)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_any_characters(kind: str, tmp_path: Path) -> None:
    path = train(kind, tmp_path)
    newer = [c for c in assigned() if unicodedata.category(c) == "Cn"]
    rng = random.Random(3)
    some = rng.sample(assigned(), 600) + rng.sample(newer, 300)
    assert differing(path, random_texts(some, 1500)) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_character(kind: str, tmp_path: Path) -> None:
    path = train(kind, tmp_path)
    texts = [f"x {c} a{c}b{c}\n{c}'s" for c in assigned()]
    assert differing(path, texts) == []
    assert differing(path, random_texts(assigned(), 20_000)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_texts_with_added_tokens(kind: str, tmp_path: Path) -> None:
    path = train(kind, tmp_path, ADDED)
    rng = random.Random(4)
    parts = [*(token.content for token in ADDED), *"aZ1 .\n\u0301é", "  ", "cafe\u0301", "STENT"]
    texts = ["".join(rng.choices(parts, k=12)) for _ in range(3000)]
    assert differing(path, texts) == []


def guard_of(path: Path) -> tuple[ProvenTexts, list[str]]:
    """A guard that is asked to trust, and what it made encoders of."""
    made: list[str] = []

    def make(model: str) -> Any:
        made.append(model)
        return [lambda texts: [np.zeros(1, np.uint32) for _ in texts]] * 2

    return ProvenTexts(path.read_text(), make), made


def test_usual_texts_go_the_fast_way(tmp_path: Path) -> None:
    guard, _ = guard_of(train("qwen", tmp_path, ADDED))
    usual = ["plain", "caf\u00e8 中文 “quoted”", "1 <plain> 2", "a\n\n  b"]
    assert guard.unproven([text.encode() for text in usual]) == []
    others = ["a stent", "x<left>", "<right>", "not composed e\u0301", "\U0001faef"]
    assert guard.unproven([text.encode() for text in others])[:4] == [0, 1, 2, 3]


def test_ascii_needs_no_proof(tmp_path: Path) -> None:
    guard, made = guard_of(train("gpt2", tmp_path))
    assert guard.unproven([b"only ASCII", b""]) == []
    assert made == []


@pytest.mark.parametrize(
    ("normalizer", "forms"),
    [
        (None, ()),
        ({"type": "NFC"}, ("NFC",)),
        ({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "NFD"}]}, ("NFKC", "NFD")),
        ({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, ()),
        ({"type": "Lowercase"}, None),
        ({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}, None),
    ],
)
def test_normalizers(normalizer: Any, forms: tuple[str, ...] | None) -> None:
    assert normal_forms(normalizer) == forms
