"""Files of their own for validation, of one domain or of all that records name."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build
from mixscale.ingest.corpus import read_corpus


def quiet(corpus: Path, out: Path, **options: Any) -> Any:
    return build(corpus, out, **{"workers": 1, "progress": False, **options})


def text(number: int) -> str:
    return f"{number} the quick brown fox jumps over {number * 7} lazy dogs " * 3


def records(numbers: Sequence[int], **fields: Any) -> list[dict[str, Any]]:
    return [{"text": text(number), **fields} for number in numbers]


def by_number(rows: Sequence[dict[str, Any]], texts: Mapping[str, Sequence[int]]) -> dict[Any, Any]:
    """What became of each record: file and number of the text to status and split."""
    return {
        (row["source_file"], texts[row["source_file"]][row["source_row"] - 1]): (
            row["status"],
            row["split"],
        )
        for row in rows
    }


@pytest.mark.parametrize("scope", ["corpus", "domain"])
@pytest.mark.parametrize("split", [{"validation": 0.5}, {"validation_documents": 5}])
def test_their_texts_alone_are_held_out(
    scope: str,
    split: dict[str, Any],
    tmp_path: Path,
    write_lines: Callable,
    write_corpus: Callable,
    read_built: Callable,
) -> None:
    texts = {
        "a/1.jsonl": range(20),
        "a/2.jsonl": range(20, 40),
        "a/val.jsonl": [*range(100, 110), 3, 21],
        "b/1.jsonl": range(200, 230),
    }
    for name, numbers in texts.items():
        write_lines(name, records(numbers))
    domains = {
        "a": {"paths": "a/*.jsonl", "validation_paths": "a/val*"},
        "b": {"paths": "b/*"},
    }
    corpus = write_corpus(domains=domains, split=split, duplicates={"scope": scope})
    quiet(corpus, tmp_path / "out")
    built = read_built(tmp_path / "out")
    found = by_number(built.documents("a"), texts)
    for place, became in found.items():
        name, number = place
        if name == "a/val.jsonl":
            assert became == ("kept", "validation")
        elif number in (3, 21):
            # What is held out is not trained on.
            assert became == ("duplicate", None)
        else:
            assert became == ("kept", "train")
    details = {row["detail"] for row in built.documents("a") if row["status"] == "duplicate"}
    assert details == {"a/val.jsonl:11", "a/val.jsonl:12"}
    others = [row["split"] for row in built.documents("b")]
    assert 0 < others.count("validation") < 30
    by_place = {
        (name, row): text(number)
        for name, numbers in texts.items()
        for row, number in enumerate(numbers, start=1)
    }
    for domain in "ab":
        built.check_stream(domain, "train", by_place)
        built.check_stream(domain, "validation", by_place)


def test_a_better_domain_does_not_win_over_them(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_built: Callable
) -> None:
    write_lines("a/1.jsonl", records(range(20)))
    write_lines("b/1.jsonl", records(range(30, 50)))
    write_lines("val/1.jsonl", records(range(5, 15)))
    domains = {"a": {"paths": "a/*"}, "b": {"paths": "b/*", "validation_paths": "val/*"}}
    corpus = write_corpus(domains=domains, duplicates={"priority": ["a"]})
    quiet(corpus, tmp_path / "out")
    built = read_built(tmp_path / "out")
    assert [row["status"] for row in built.documents("a")] == (
        ["kept"] * 5 + ["duplicate"] * 10 + ["kept"] * 5
    )
    assert built.shardset.domains["b"]["validation"].documents == 10


def test_nearly_the_same_texts_are_not_trained_on(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_built: Callable
) -> None:
    def long_text(number: int) -> str:
        return " ".join(f"word{(number * 97 + n * n) % 1009}" for n in range(200))

    write_lines("a/1.jsonl", [{"text": long_text(n)} for n in range(20)])
    write_lines("val/1.jsonl", [{"text": long_text(n) + " changed"} for n in (4, 9)])
    domains = {"a": {"paths": "a/*", "validation_paths": "val/*"}}
    quiet(write_corpus(domains=domains, duplicates={"near": True}), tmp_path / "out")
    rows = read_built(tmp_path / "out").documents("a")
    gone = {row["source_row"]: row["detail"] for row in rows if row["status"] == "near_duplicate"}
    assert gone == {5: "val/1.jsonl:1", 10: "val/1.jsonl:2"}


def test_records_that_name_their_domain(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_built: Callable
) -> None:
    def mixed(numbers: Sequence[int]) -> list[dict[str, Any]]:
        return [{"text": text(n), "set": "x" if n % 2 else "y"} for n in numbers]

    texts = {"m/1.jsonl": range(40), "m/held/out.jsonl": range(100, 130)}
    for name, numbers in texts.items():
        write_lines(name, mixed(numbers))
    corpus = write_corpus(
        route={"paths": "m/**/*.jsonl", "field": "set", "domains": {"x": "a", "y": "b"}},
        validation_paths="m/held/*",
        split={"validation": 0.5},
    )
    quiet(corpus, tmp_path / "out")
    built = read_built(tmp_path / "out")
    for domain in "ab":
        found = by_number(built.documents(domain), texts)
        assert {split for (name, _), (_, split) in found.items() if "held" in name} == {
            "validation"
        }
        assert {split for (name, _), (_, split) in found.items() if "held" not in name} == {"train"}


def test_the_published_validation_set_of_a_preset(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_built: Callable
) -> None:
    meta = {"meta": {"redpajama_set_name": "RedPajamaC4"}}
    write_lines("slim/train/chunk1/a.jsonl", records(range(30), **meta))
    write_lines("slim/validation/chunk1/a.jsonl", records(range(50, 60), **meta))
    write_lines("slim/test/chunk1/a.jsonl", records(range(70, 80), **meta))
    corpus = write_corpus(
        preset="slimpajama",
        root="slim",
        domains={"c4": {}},
        validation_paths="slim/validation/**/*.jsonl",
    )
    quiet(corpus, tmp_path / "out")
    splits = read_built(tmp_path / "out").shardset.domains["c4"]
    assert (splits["train"].documents, splits["validation"].documents) == (30, 10)


def test_growing_by_validation_files_equals_one_build(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, read_tree: Callable
) -> None:
    write_lines("a/1.jsonl", records(range(40)))
    write_lines("val/1.jsonl", records(range(100, 110)))
    corpus = write_corpus(domains={"a": {"paths": "a/*", "validation_paths": "val/*"}})
    quiet(corpus, tmp_path / "out")
    write_lines("val/2.jsonl", records([*range(200, 210), 7]))
    write_lines("a/2.jsonl", records([*range(40, 60), 205]))
    quiet(corpus, tmp_path / "out")
    quiet(corpus, tmp_path / "fresh")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "fresh")
    before = read_tree(tmp_path / "out")
    other = write_corpus(domains={"a": {"paths": "a/*"}})
    with pytest.raises(UserError, match=r"domains\.a\.validation_paths: was true, is false"):
        quiet(other, tmp_path / "out")
    assert read_tree(tmp_path / "out") == before


def test_a_file_that_changes_sides_is_said(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable
) -> None:
    for name in ("a/1.jsonl", "a/2.jsonl", "val/1.jsonl"):
        write_lines(name, records(range(len(name) * 100 + ord(name[-7]), len(name) * 100 + 80)))
    settings: dict[str, Any] = {"paths": "a/*", "validation_paths": "val/*"}
    corpus = write_corpus(domains={"a": settings})
    quiet(corpus, tmp_path / "out")
    settings["validation_paths"] = ["val/*", "a/2*"]
    with pytest.raises(UserError, match=r"input gone: a:a/2\.jsonl"):
        quiet(write_corpus(domains={"a": settings}), tmp_path / "out")


def test_a_set_built_before_there_were_such_keys_is_still_the_same(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable
) -> None:
    write_lines("a/1.jsonl", records(range(40)))
    corpus = write_corpus(domains={"a": {"paths": "a/*"}})
    quiet(corpus, tmp_path / "out")
    path = tmp_path / "out" / "shardset.json"
    values = json.loads(path.read_text())
    del values["config"]["validation_paths"]
    del values["config"]["domains"]["a"]["validation_paths"]
    del values["config"]["tokenizer"]["bos_token"]
    path.write_text(json.dumps(values))
    quiet(corpus, tmp_path / "out")
    write_lines("a/2.jsonl", records(range(50, 60)))
    assert quiet(corpus, tmp_path / "out").domains["a"]["train"].documents == 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"domains": {"a": {"paths": "a/*"}}, "validation_paths": "val/*"},
            "give them for each domain",
        ),
        (
            {"domains": {"a": {"paths": "a/*", "validation_paths": "vla/*"}}},
            r"domains\.a\.validation_paths: no file matches vla/\*",
        ),
        (
            {"domains": {"a": {"paths": "a/*", "validation_paths": "a/*.jsonl"}}},
            r"domains\.a\.paths: all of its files",
        ),
        (
            {"domains": {"a": {"paths": "a/*", "validation_paths": "empty/*"}}},
            r"a/validation: 0 documents",
        ),
        (
            {
                "domains": {
                    "a": {"paths": "a/*", "validation_paths": "val/*"},
                    "b": {"paths": "val/*"},
                }
            },
            "read twice, for 'a' and for 'b'",
        ),
        (
            {
                "preset": "slimpajama",
                "root": ".",
                "route": {"paths": "a/*", "field": "set", "domains": {"x": "a"}},
            },
            "the preset slimpajama has one of its own",
        ),
    ],
)
def test_mistakes(
    settings: dict[str, Any],
    message: str,
    tmp_path: Path,
    write_lines: Callable,
    write_corpus: Callable,
) -> None:
    write_lines("a/1.jsonl", records(range(40)))
    write_lines("val/1.jsonl", records(range(50, 60)))
    write_lines("empty/1.jsonl", [])
    with pytest.raises(UserError, match=message):
        quiet(write_corpus(**settings), tmp_path / "out")
    shutil.rmtree(tmp_path / "out", ignore_errors=True)


def test_a_routed_domain_may_have_only_files_for_validation(
    write_corpus: Callable, tmp_path: Path
) -> None:
    settings = {
        "route": {"paths": "m/*", "field": "set", "domains": {"x": "a"}},
        "domains": {"a": {"validation_paths": "val/*"}},
    }
    assert read_corpus(write_corpus(**settings)).domains["a"].validation_paths == ("val/*",)
