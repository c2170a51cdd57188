import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from streaming.base.format import reader_from_json
from tokenizers import Tokenizer

from mixscale.contracts.shardset import read_shardset
from mixscale.ingest.tokenize.tokenizer_files import save_trained

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "up"]


def sentence(number: int, words: int = 40) -> str:
    """Make text that differs for every number."""
    picked = [WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(words)]
    return f"{number}: " + " ".join(picked) + ".\n"


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer of 400 tokens."""
    from tokenizers import decoders, models, pre_tokenizers, trainers

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


class BuiltSet:
    """Reads a shard set the plain way, with Streaming and the reference tokenizer."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.shardset = read_shardset(out)
        self.tokenizer = Tokenizer.from_file(str(out / "tokenizer" / "tokenizer.json"))
        self.tokenizer.encode_special_tokens = True

    def documents(self, domain: str) -> list[dict[str, Any]]:
        """The rows of one domain, in the order of its files."""
        paths = sorted((self.out / "documents" / domain).glob("*.parquet"))
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    def all_documents(self) -> list[dict[str, Any]]:
        """The rows of all domains and of none."""
        folders = sorted((self.out / "documents").iterdir())
        return [row for folder in folders for row in self.documents(folder.name)]

    def samples(self, domain: str, split: str) -> list[np.ndarray]:
        """The samples of a stream, as Streaming reads them."""
        folder = self.out / domain / split
        entries = json.loads((folder / "index.json").read_text())["shards"]
        readers = [reader_from_json(str(folder), None, entry) for entry in entries]
        for reader in readers:
            reader.validate(allow_unsafe_types=False)
        return [reader[n]["tokens"] for reader in readers for n in range(len(reader))]

    def encode(self, text: str) -> list[int]:
        """The ids of a text by the reference, with its end-of-text token."""
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [*ids, self.shardset.tokenizer.eos_token_id]

    def check_stream(self, domain: str, split: str, texts: dict[tuple[str, int], str]) -> None:
        """Compare a stream with the texts, by file and row, that its documents came from."""
        length = self.shardset.sequence_length
        expected: list[int] = []
        rows = [row for row in self.documents(domain) if row["split"] == split]
        for row in rows:
            assert row["status"] == "kept"
            ids = self.encode(texts[row["source_file"], row["source_row"]])
            assert (row["first_sample"], row["first_offset"]) == divmod(len(expected), length)
            assert row["tokens"] == len(ids)
            expected += ids
        samples = self.samples(domain, split)
        found = np.concatenate([*samples, np.empty(0, np.int64)]).tolist()
        summary = self.shardset.domains[domain][split]  # type: ignore[index]
        assert found == expected[: len(samples) * length]
        assert summary.samples == len(samples) == len(expected) // length
        assert (
            summary.tokens == len(expected) == summary.samples * length + (summary.remainder_tokens)
        )
        assert summary.documents == len(rows)
        assert summary.text_bytes == sum(row["bytes"] for row in rows)


@pytest.fixture
def read_built() -> type[BuiltSet]:
    """Reads a shard set the plain way."""
    return BuiltSet


def tree(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a shard set that does not change from build to build."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "index.duckdb"
    }


@pytest.fixture
def read_tree() -> Callable[[Path], dict[str, bytes]]:
    """Reads all files that must be equal byte for byte."""
    return tree
