import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from ingest.tokenizer import save_trained

# A busy machine is no failure.
settings.register_profile("ingest", deadline=None)
settings.load_profile("ingest")

WORDS = "the quick brown fox jumps over a lazy dog while seven wizards box up zinc jars".split()


def sentence(number: int, words: int = 40) -> str:
    """Make text that differs for every number."""
    picked = [WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(words)]
    return f"{number}: " + " ".join(picked) + ".\n"


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer of 400 tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = [sentence(number) for number in range(300)]
    tokenizer.train_from_iterator(texts, trainer)
    folder = tmp_path_factory.mktemp("tokenizer") / "small"
    save_trained(tokenizer, folder, "<|endoftext|>")
    return folder


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., Path]:
    """Write records as JSON Lines below `tmp_path`."""

    def write(name: str, records: Sequence[Mapping[str, Any] | str]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_corpus(tmp_path: Path, tokenizer_folder: Path) -> Callable[..., Path]:
    """Write a `corpus.yaml` with the small tokenizer into `tmp_path`."""

    def write(**settings: Any) -> Path:
        path = tmp_path / "corpus.yaml"
        defaults = {
            "tokenizer": str(tokenizer_folder),
            "sequence_length": 16,
            "split": {"validation": 0},
        }
        # JSON is YAML.
        path.write_text(json.dumps({**defaults, **settings}), encoding="utf-8")
        return path

    return write
