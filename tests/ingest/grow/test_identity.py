"""What a build depends on is known by its content, not by its name or its date."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build


def quiet(corpus: Path, out: Path) -> Any:
    return build(corpus, out, workers=1, progress=False)


@pytest.fixture
def corpus(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, tokenizer_folder: Path
) -> Path:
    """A corpus whose tokenizer is a copy that may be changed."""
    shutil.copytree(tokenizer_folder, tmp_path / "tok")
    write_lines("raw/a.jsonl", [{"text": f"the quick brown fox {n} " * 5} for n in range(30)])
    return write_corpus(domains={"d": {"paths": "raw/*.jsonl"}}, tokenizer="./tok")


def swap(folder: Path) -> None:
    """Put another tokenizer of the same size, with an old date, in its place."""
    path = folder / "tokenizer.json"
    settings = json.loads(path.read_text())
    vocabulary = settings["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(settings))
    os.utime(path, ns=(1, 1))


def test_a_finished_set_notices(corpus: Path, tmp_path: Path) -> None:
    quiet(corpus, tmp_path / "out")
    swap(tmp_path / "tok")
    with pytest.raises(UserError, match=r"tokenizer \./tok: its files are not those(?s:.*)another"):
        quiet(corpus, tmp_path / "out")


def test_a_growing_set_notices(corpus: Path, tmp_path: Path, write_lines: Callable) -> None:
    quiet(corpus, tmp_path / "out")
    swap(tmp_path / "tok")
    write_lines("raw/b.jsonl", [{"text": "more text " * 20}])
    with pytest.raises(UserError, match=r"tokenizer \./tok: its files are not those"):
        quiet(corpus, tmp_path / "out")


def test_an_unfinished_build_notices(corpus: Path, tmp_path: Path, write_lines: Callable) -> None:
    enough = (tmp_path / "raw/a.jsonl").read_text()
    write_lines("raw/a.jsonl", [{"text": "too little"}])
    with pytest.raises(UserError, match="too little text"):
        quiet(corpus, tmp_path / "out")
    (tmp_path / "raw/a.jsonl").write_text(enough)
    kept = (tmp_path / "tok/tokenizer.json").read_bytes()
    swap(tmp_path / "tok")
    with pytest.raises(UserError, match="put them back to go on, or delete that folder"):
        quiet(corpus, tmp_path / "out")
    (tmp_path / "tok/tokenizer.json").write_bytes(kept)
    assert quiet(corpus, tmp_path / "out").domains["d"]["train"].documents == 30


def test_the_same_files_elsewhere_are_the_same_tokenizer(
    corpus: Path, tmp_path: Path, write_corpus: Callable
) -> None:
    first = quiet(corpus, tmp_path / "out")
    (tmp_path / "tok").rename(tmp_path / "moved")
    moved = write_corpus(domains={"d": {"paths": "raw/*.jsonl"}}, tokenizer="./moved")
    assert quiet(moved, tmp_path / "out") == first


def test_an_input_with_the_same_size_and_an_older_date(corpus: Path, tmp_path: Path) -> None:
    quiet(corpus, tmp_path / "out")
    path = tmp_path / "raw/a.jsonl"
    (tmp_path / "new").write_text(path.read_text().replace("quick", "quack"))
    os.utime(tmp_path / "new", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    (tmp_path / "new").replace(path)
    with pytest.raises(UserError, match=r"input changed: d:raw/a\.jsonl"):
        quiet(corpus, tmp_path / "out")
