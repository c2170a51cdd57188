"""A shard set that grows ends as if it had been built from everything at once."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mixscale.ingest.select.classify
from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build
from mixscale.ingest.readers.records import record_blocks
from mixscale.ingest.readers.source_file import Unit


def sentence(number: int) -> str:
    return f"{number}: " + " ".join(f"w{(number * n) % 97}" for n in range(20 + number % 30))


def quiet(corpus: Path, out: Path, **options: Any) -> Any:
    return build(corpus, out, **{"workers": 1, "progress": False, **options})


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the files that builds read, as they read them."""
    names: set[str] = set()

    def watched(unit: Unit) -> Any:
        names.add(unit.file.name)
        return record_blocks(unit)

    monkeypatch.setattr(mixscale.ingest.select.classify, "record_blocks", watched)
    return names


SETTINGS: list[dict[str, Any]] = [
    {},
    {"split": {"validation_documents": 12}, "shards": {"size_limit": 4000, "compression": "zstd"}},
    {"duplicates": {"scope": "domain"}, "sequence_length": 57},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_growing_is_building_from_all(
    tmp_path: Path,
    write_lines: Callable,
    write_corpus: Callable,
    read_tree: Callable,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    monkeypatch.setattr("mixscale.ingest.readers.cut_units.UNIT_BYTES", 3000)
    settings = {"split": {"validation": 0.2}, **settings}
    write_lines("a/2.jsonl", [{"text": sentence(n), "meta": {"n": n}} for n in range(100)])
    write_lines("b/1.jsonl", [*({"text": sentence(n)} for n in range(80, 200)), "broken", ""])
    domains = {name: {"paths": f"{name}/*", "min_characters": 100} for name in ("a", "b")}
    quiet(write_corpus(domains=domains, **settings), tmp_path / "out")
    # Before and after the known files, copies of their texts, and a better domain.
    write_lines("a/1.jsonl", [{"text": sentence(n)} for n in range(90, 130)])
    write_lines("a/3.jsonl", [{"text": sentence(n)} for n in range(0, 300, 7)])
    write_lines("c/1.jsonl", [{"text": sentence(n)} for n in range(150, 220)])
    domains = {"c": {"paths": "c/*"}, **domains}
    corpus = write_corpus(domains=domains, **settings)
    quiet(corpus, tmp_path / "out")
    quiet(corpus, tmp_path / "fresh")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "fresh")


def test_only_new_files_are_read(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_files: set[str]
) -> None:
    write_lines("a/1.jsonl", [{"text": sentence(n)} for n in range(100)])
    corpus = write_corpus(domains={"a": {"paths": "a/*"}}, tokenizer={"train": {"vocab_size": 290}})
    first = quiet(corpus, tmp_path / "out")
    read_files.clear()
    write_lines("a/2.jsonl", [{"text": sentence(n)} for n in range(100, 150)])
    second = quiet(corpus, tmp_path / "out")
    # The first files of each domain are looked at once more, to choose the encoder.
    assert second.tokenizer == first.tokenizer
    assert second.domains["a"]["train"].documents == 150
    read_files.clear()
    assert quiet(corpus, tmp_path / "out") == second
    assert read_files == set()


def test_routed_records_grow(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_tree: Callable
) -> None:
    def records(numbers: range) -> list[dict[str, Any]]:
        names = ["x", "y", "other"]
        return [{"text": sentence(n), "set": names[n % 3]} for n in numbers]

    route = {"paths": "r/*.jsonl", "field": "set", "domains": {"x": "dx", "y": "dy"}}
    corpus = write_corpus(route=route, split={"validation": 0.3})
    write_lines("r/2.jsonl", records(range(120)))
    quiet(corpus, tmp_path / "out")
    write_lines("r/1.jsonl", records(range(100, 160)))
    quiet(corpus, tmp_path / "out", workers=2)
    quiet(corpus, tmp_path / "fresh")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "fresh")


def test_a_growth_that_fails_leaves_the_old_set_whole(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_tree: Callable
) -> None:
    write_lines("a/1.jsonl", [{"text": sentence(n)} for n in range(100)])
    domains = {"a": {"paths": "a/*"}}
    first = quiet(write_corpus(domains=domains), tmp_path / "out")
    before = read_tree(tmp_path / "out")
    write_lines("b/1.jsonl", [{"text": "x"}])
    corpus = write_corpus(domains={**domains, "b": {"paths": "b/*"}})
    with pytest.raises(UserError, match="b/train: 1 documents with 2 tokens"):
        quiet(corpus, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / ".build")
    assert read_tree(tmp_path / "out") == before
    assert quiet(write_corpus(domains=domains), tmp_path / "out") == first
