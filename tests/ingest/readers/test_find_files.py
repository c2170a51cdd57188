import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import Corpus, read_corpus
from mixscale.ingest.readers.find_files import find_files


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., list[str]]:
    """Names the files that the paths of one domain find below `tmp_path`."""

    def names(
        paths: Any, *, own: tuple[str, ...] = (), folder: str = "", **domain: Any
    ) -> list[str]:
        corpus = Corpus.model_validate(
            {
                "domains": {"d": {"paths": paths, **domain}},
                "tokenizer": "t",
                "sequence_length": 2,
            }
        )
        base = tmp_path / folder
        return [f.name for f in find_files(corpus, base, [base / name for name in own])]

    return names


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def test_patterns(tmp_path: Path, find: Callable) -> None:
    touch(tmp_path, "a/1.txt", "a/b/2.txt", "a/b/c/3.txt", "a/.hidden/4.txt", "a/.5.txt", "z.md")
    assert find("a/*.txt") == ["a/1.txt"]
    assert find("a/**/*.txt") == ["a/1.txt", "a/b/2.txt", "a/b/c/3.txt"]
    assert find("**/c/*.txt") == ["a/b/c/3.txt"]
    assert find("a/**") == ["a/1.txt", "a/b/2.txt", "a/b/c/3.txt"]
    assert find("a/.*.txt") == ["a/.5.txt"]
    assert find("{z.md,a/b/[0-9].txt}") == ["z.md", "a/b/2.txt"]
    assert find(["a/b/*.txt", "a/**/*.txt"]) == ["a/b/2.txt", "a/1.txt", "a/b/c/3.txt"]
    assert find("./a/../z.md") == ["z.md"]


def test_exclude(tmp_path: Path, find: Callable) -> None:
    touch(tmp_path, "a/1.txt", "a/old/2.txt", "a/old/deep/3.txt", "a/4_test.txt")
    assert find("a/**/*.txt", exclude="a/old") == ["a/1.txt", "a/4_test.txt"]
    assert find("a/**/*.txt", exclude=["**/*_test.txt", "a/*/deep"]) == ["a/1.txt", "a/old/2.txt"]
    with pytest.raises(UserError, match="no file matches"):
        find("a/old/*.txt", exclude="**/old")


def test_environment_variables(
    tmp_path: Path, find: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.txt")
    monkeypatch.setenv("CORPUS_FOLDER", str(tmp_path / "a"))
    assert find("$CORPUS_FOLDER/*.txt") == find("${CORPUS_FOLDER}/{1,1}.txt") == ["a/1.txt"]


@pytest.mark.parametrize("name", ["run[1]", "a{b,c}", "what?", "st*r", "[ab]"])
def test_folders_are_named_as_they_like(tmp_path: Path, find: Callable, name: str) -> None:
    touch(tmp_path, f"{name}/raw/a.txt", "run1/raw/b.txt", "a/raw/c.txt")
    assert find("raw/*.txt", folder=name) == ["raw/a.txt"]
    assert find("raw/**/*.txt", folder=name) == ["raw/a.txt"]
    if "{" not in name:
        assert find(f"{name}/raw/*.txt") == [f"{name}/raw/a.txt"]


def test_a_pattern_that_finds_nothing_is_named(tmp_path: Path, find: Callable) -> None:
    touch(tmp_path, "web/a.txt")
    with pytest.raises(UserError, match=r"domains\.d\.paths: no file matches wbe/\*\.txt "):
        find(["web/*.txt", "wbe/*.txt"])


def test_links_are_followed_once(tmp_path: Path, find: Callable) -> None:
    touch(tmp_path, "raw/b/1.txt", "raw/b/2.txt", "elsewhere/3.txt")
    (tmp_path / "raw/a_link").symlink_to("b")
    (tmp_path / "raw/loop").symlink_to("..")
    (tmp_path / "raw/b/up").symlink_to("..")
    (tmp_path / "raw/latest.txt").symlink_to("b/2.txt")
    (tmp_path / "raw/outside").symlink_to("../elsewhere")
    first, second, third = find("raw/**/*.txt")
    assert (first, second) == ("raw/b/1.txt", "raw/b/2.txt")
    assert third.endswith("/3.txt")
    assert find("raw/a_link/*.txt") == ["raw/a_link/1.txt", "raw/a_link/2.txt"]


def test_a_link_to_nothing_is_named(tmp_path: Path, find: Callable) -> None:
    touch(tmp_path, "raw/1.txt")
    (tmp_path / "raw/2.txt").symlink_to("gone")
    with pytest.raises(UserError, match=r"2\.txt: cannot read: No such file"):
        find("raw/*.txt")


def test_only_regular_files_are_read(tmp_path: Path, find: Callable) -> None:
    touch(tmp_path, "raw/1.txt")
    os.mkfifo(tmp_path / "raw/2.txt")
    assert find("raw/*.txt") == ["raw/1.txt"]
    with pytest.raises(UserError, match="no regular file"):
        find("raw/2.txt")


def test_names_that_are_not_utf8(tmp_path: Path, find: Callable) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / os.fsdecode(b"raw/\xff.txt")).write_text("x")
    assert find("raw/*.txt") == ["raw/\\xff.txt"]


def test_own_files_are_no_input(tmp_path: Path, find: Callable) -> None:
    touch(tmp_path, "1.json", "tokenizer/tokenizer.json", "out/d/index.json", "out/inputs.json")
    touch(tmp_path, "other/shardset.json", "other/d/train/index.json", "raw/.build/2.json")
    touch(tmp_path, "stopped/.build/units/u.json", "stopped/d/index.json")
    assert find("**/*.json", own=("out", "tokenizer")) == ["1.json"]
    assert find("other/d/train/index.json") == ["other/d/train/index.json"]


def test_published_held_out_sets_are_not_read(tmp_path: Path, write_corpus: Callable) -> None:
    touch(
        tmp_path, *(f"validation/{part}/chunk1/a.jsonl" for part in ("train", "validation", "test"))
    )
    corpus = read_corpus(write_corpus(preset="slimpajama", root="validation", domains={"c4": {}}))
    assert [file.name for file in find_files(corpus, tmp_path)] == ["train/chunk1/a.jsonl"]


def test_a_pattern_that_excludes_nothing_is_said(tmp_path: Path, find: Callable) -> None:
    touch(tmp_path, "a/1.txt", "a/old/2.txt")
    with pytest.warns(UserWarning, match=r"domains\.d\.exclude: a/odl leaves nothing out"):
        assert find("a/**/*.txt", exclude=["a/old", "a/odl"]) == ["a/1.txt"]
