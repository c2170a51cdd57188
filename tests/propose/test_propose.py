"""Settings written for folders of many kinds: they find every file, and they work."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from mixscale.contracts.config import load_config
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Experiment
from mixscale.contracts.shardset import ShardSet
from mixscale.ingest.build import build
from mixscale.ingest.corpus import read_corpus
from mixscale.ingest.readers.find_files import find_files
from mixscale.propose.propose import Proposal, propose

WORDS = [
    "river",
    "stone",
    "lamp",
    "garden",
    "window",
    "paper",
    "winter",
    "copper",
    "bread",
    "silver",
    "train",
    "letter",
]


def text(number: int, words: int = 90) -> str:
    """Text that differs for every number, with many different words in it."""
    picked = [WORDS[(number * 5 + n * n) % len(WORDS)] + str(number * n % 97) for n in range(words)]
    return f"{number}: " + " ".join(picked) + "."


def write(path: Path, records: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def texts(path: Path, start: int, count: int = 120, field: str = "text") -> None:
    write(path, ({field: text(n), "id": str(n)} for n in range(start, start + count)))


def found_files(out: Path) -> dict[str | None, set[str]]:
    """The files that a build of the written corpus.yaml reads, by domain."""
    found: dict[str | None, set[str]] = {}
    for file in find_files(read_corpus(out / "corpus.yaml"), out):
        found.setdefault(file.domain, set()).add(file.address)
    return found


def names(out: Path) -> dict[str | None, set[str]]:
    return {d: {os.path.basename(f) for f in files} for d, files in found_files(out).items()}


def check(out: Path) -> ShardSet:
    """Build from corpus.yaml, plan experiment.yaml, and read run.yaml as `train` does."""
    from mixscale.train.config import load_run_config
    from mixscale.train.sweep.plan import plan

    shardset = build(out / "corpus.yaml", out / "shardset", workers=1)
    planned = plan(out / "experiment.yaml", measure=False)
    assert planned.as_json()
    load_run_config(out / "run.yaml")
    return shardset


def settings(out: Path) -> dict[str, Any]:
    return yaml.safe_load((out / "corpus.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def test_a_folder_for_each_domain(raw: Path, tmp_path: Path) -> None:
    texts(raw / "web" / "a.jsonl", 0)
    texts(raw / "web" / "more" / "b.jsonl", 1000)
    texts(raw / "code" / "c.jsonl", 2000, field="content")
    (raw / "code" / "README.md").write_text("What this is.")
    (raw / "dataset_info.json").write_text('{"features": {"n": 1}}')
    found = propose(raw, tmp_path)
    assert names(tmp_path) == {"web": {"a.jsonl", "b.jsonl"}, "code": {"c.jsonl"}}
    assert settings(tmp_path)["domains"]["code"]["text"] == "content"
    assert "README.md" in (tmp_path / "corpus.yaml").read_text()
    assert set(found.decision.survey.left_out) == {
        "text files beside the data",
        "files whose records have no text (they have 'features')",
    }
    shardset = check(tmp_path)
    assert set(shardset.domain_names) == {"web", "code"}
    amounts = {domain.name: domain.amount for domain in found.decision.domains}
    assert round(amounts["web"].documents) == 240
    split = shardset.domains["code"]
    kept = split["train"].text_bytes + split["validation"].text_bytes
    assert amounts["code"].text_bytes == pytest.approx(kept)


def test_files_side_by_side_in_other_formats(raw: Path, tmp_path: Path) -> None:
    for name, start in (("letters.csv", 0), ("diaries.csv", 500)):
        with (raw / name).open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "text"])
            writer.writerows([n, text(n)] for n in range(start, start + 120))
    pq.write_table(pa.table({"body": [text(n) for n in range(900, 1020)]}), raw / "news.parquet")
    propose(raw, tmp_path)
    assert names(tmp_path) == {
        "letters": {"letters.csv"}, "diaries": {"diaries.csv"}, "news": {"news.parquet"},
    }  # fmt: skip
    check(tmp_path)


def test_numbered_parts_are_one_domain_each(raw: Path, tmp_path: Path) -> None:
    for part in range(3):
        texts(raw / "data" / f"chunk{part}" / f"wiki-{part:05}-of-00003.jsonl", 1000 * part)
        texts(raw / "data" / f"chunk{part}" / f"books_{part}.jsonl", 1000 * part + 500)
    propose(raw, tmp_path)
    assert {name: len(files) for name, files in names(tmp_path).items()} == {"books": 3, "wiki": 3}


def test_published_validation_and_tests_are_not_trained_on(raw: Path, tmp_path: Path) -> None:
    for domain, start in (("web", 0), ("code", 5000)):
        texts(raw / "train" / domain / "a.jsonl", start, 300)
        texts(raw / "validation" / domain / "b.jsonl", start + 1000, 60)
        texts(raw / "test" / domain / "c.jsonl", start + 2000, 60)
    propose(raw, tmp_path)
    corpus = read_corpus(tmp_path / "corpus.yaml")
    kinds = {
        (file.domain, os.path.basename(file.address), file.is_validation)
        for file in find_files(corpus, tmp_path)
    }
    assert kinds == {
        (domain, name, is_validation)
        for domain in ("web", "code")
        for name, is_validation in (("a.jsonl", False), ("b.jsonl", True))
    }
    check(tmp_path)


def test_validation_told_by_the_names_of_files(raw: Path, tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        texts(raw / "python" / f"{name}.jsonl", hash(name) % 1000 * 1000)
        texts(raw / "rust" / f"{name}.jsonl", hash(name) % 1000 * 1000 + 500)
    propose(raw, tmp_path)
    for files in names(tmp_path).values():
        assert files == {"train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"}


def test_records_that_name_their_domain(raw: Path, tmp_path: Path) -> None:
    kinds = ["Web pages", "code", "Web pages", "books"]
    write(
        raw / "mixed.jsonl",
        ({"text": text(n), "meta": {"source": kinds[n % 4]}, "id": str(n)} for n in range(600)),
    )
    found = propose(raw, tmp_path)
    assert settings(tmp_path)["route"] == {
        "paths": "raw/mixed.jsonl"
        if "raw/mixed.jsonl" in str(settings(tmp_path))
        else "raw/*.jsonl",
        "field": "meta.source",
        "domains": {"Web pages": "Web-pages", "books": "books", "code": "code"},
    }
    shardset = check(tmp_path)
    assert set(shardset.domain_names) == {"Web-pages", "code", "books"}
    assert found.decision.survey.route_field == "meta.source"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("stories.txt", "<|endoftext|>".join(text(n) for n in range(200)), "separator"),
        ("essays.md", "\n\n".join(text(n) for n in range(200)), "separator"),
        ("book.tex", "\n".join(text(n) for n in range(200)), "format"),
        ("wiki_00", "".join(json.dumps({"text": text(n)}) + "\n" for n in range(200)), "format"),
    ],
)
def test_text_without_records(
    raw: Path, tmp_path: Path, name: str, content: str, expected: str
) -> None:
    for folder, turned in (("one", content), ("two", content.replace("river", "brook"))):
        (raw / folder).mkdir()
        (raw / folder / name).write_text(turned)
    propose(raw, tmp_path)
    shardset = build(tmp_path / "corpus.yaml", tmp_path / "shardset", workers=1)
    assert shardset.domains["one"]["train"].documents > 100
    assert all(expected in domain for domain in settings(tmp_path)["domains"].values())
    assert {name for files in names(tmp_path).values() for name in files} == {name}


def test_awkward_names(tmp_path: Path) -> None:
    """Names that patterns, YAML or UTF-8 cannot hold as they are."""
    raw = tmp_path / os.fsdecode(b"caf\xe9 {x,y} $HOME")
    for number, name in enumerate((b"run[1]", b"{a,b}", b"$HOME", b"na\xefve\n", b"- #:*x", b"~u")):
        texts(raw / os.fsdecode(name) / "a [b] {c}.jsonl", 1000 * number)
    found = propose(raw, tmp_path)
    assert len(found.decision.domains) == 6
    files = {file for group in found_files(tmp_path).values() for file in group}
    assert len(files) == 6
    for text_file in found.written:
        text_file.read_text(encoding="utf-8")
    shardset = build(tmp_path / "corpus.yaml", tmp_path / "shardset", workers=1)
    assert len(shardset.domain_names) == 6


def test_what_is_no_text_is_passed_by(raw: Path, tmp_path: Path) -> None:
    texts(raw / "web" / "a.jsonl", 0)
    texts(raw / "code" / "b.jsonl", 1000)
    os.mkfifo(raw / "web" / "pipe.jsonl")
    (raw / "web" / "nowhere.jsonl").symlink_to(raw / "gone")
    (raw / "web" / "again").symlink_to(raw)
    # A file of the system that no one can read as a whole.
    (raw / "code" / "memory.jsonl").symlink_to("/proc/self/mem")
    (raw / "code" / "empty.jsonl").write_text("")
    (raw / "code" / ".hidden.jsonl").write_text('{"text": "hidden"}\n')
    (raw / "code" / "picture.png").write_bytes(b"\x89PNG\r\n\0\0" * 500)
    found = propose(raw, tmp_path)
    left_out = found.decision.survey.listing.left_out
    assert left_out["pipes and devices"] == 1
    (dangling,) = found.decision.survey.listing.unreadable
    assert "web/nowhere.jsonl: a link that leads nowhere" in dangling
    (raw / "web" / "nowhere.jsonl").unlink()
    assert set(names(tmp_path)) == {"web", "code"}


def test_a_terabyte_is_read_in_parts(raw: Path, tmp_path: Path) -> None:
    """Sparse files of the size of a real corpus: reading one to its end would not come back."""
    for name, start in (("web.jsonl", 0), ("code.jsonl", 5000)):
        texts(raw / name, start, 2000)
        os.truncate(raw / name, 1 << 40)
    (raw / "books.txt").write_text("\n\n".join(text(n) for n in range(9000, 30_000)))
    os.truncate(raw / "books.txt", 1 << 40)
    found = propose(raw, tmp_path)
    sizes = {domain.name: domain.amount.text_bytes for domain in found.decision.survey.domains}
    assert sizes["web"] > 1 << 34
    assert found.decision.sequence_length == 2048


def test_a_tokenizer_beside_the_text(raw: Path, tmp_path: Path, tokenizer_folder: Path) -> None:
    (raw / "tok").mkdir()
    for file in tokenizer_folder.iterdir():
        (raw / "tok" / file.name).write_bytes(file.read_bytes())
    texts(raw / "web" / "a.jsonl", 0)
    texts(raw / "code" / "b.jsonl", 1000)
    propose(raw, tmp_path)
    assert settings(tmp_path)["tokenizer"] == "./raw/tok"
    assert set(names(tmp_path)) == {"web", "code"}
    check(tmp_path)


def test_equal_texts_count_once(raw: Path, tmp_path: Path) -> None:
    texts(raw / "web" / "a.jsonl", 0)
    texts(raw / "copy" / "b.jsonl", 0)
    texts(raw / "code" / "c.jsonl", 1000)
    found = propose(raw, tmp_path)
    assert [domain.name for domain in found.decision.too_small] == ["web"]
    check(tmp_path)


def test_own_output_is_never_input(raw: Path) -> None:
    texts(raw / "web" / "a.jsonl", 0)
    texts(raw / "code" / "b.jsonl", 1000)
    first = propose(raw, raw)
    build(raw / "corpus.yaml", raw / "shardset", workers=1)
    again = propose(raw, raw, force=True)
    assert [d.name for d in again.decision.domains] == [d.name for d in first.decision.domains]
    assert "paths: web/*.jsonl" in (raw / "corpus.yaml").read_text()


def test_little_text_gives_a_corpus_alone(raw: Path, tmp_path: Path) -> None:
    write(raw / "few.jsonl", [{"text": text(n, words=40)} for n in range(3)])
    found = propose(raw, tmp_path)
    assert [path.name for path in found.written] == ["corpus.yaml"]
    build(tmp_path / "corpus.yaml", tmp_path / "shardset", workers=1)


@pytest.mark.parametrize("preset", ["redpajama-v2", "dolma", "pile", "fineweb"])
def test_published_layouts(raw: Path, tmp_path: Path, preset: str) -> None:
    _PUBLISHED[preset](raw)
    found = propose(raw, tmp_path)
    assert found.decision.survey.layout is not None
    assert found.decision.survey.layout.preset == preset
    assert settings(tmp_path)["preset"] == preset
    read_corpus(tmp_path / "corpus.yaml")
    build(tmp_path / "corpus.yaml", tmp_path / "shardset", workers=1)


def _redpajama_v2(raw: Path) -> None:
    for number, bucket in enumerate(("en_head", "en_middle", "de_head")):
        path = raw / "documents" / "2023-06" / "0000" / f"{bucket}.json"
        texts(path, 1000 * number, field="raw_content")


def _dolma(raw: Path) -> None:
    for number, name in enumerate(("c4-0000", "c4-0001", "wiki-0000")):
        texts(raw / f"{name}.json", 1000 * number)


def _pile(raw: Path) -> None:
    kinds = ["Github", "ArXiv", "Pile-CC"]
    for number, name in enumerate(("train/00.jsonl.zst", "train/01.jsonl.zst", "val.jsonl.zst")):
        lines = [
            json.dumps({"text": text(n), "meta": {"pile_set_name": kinds[n % 3]}})
            for n in range(1000 * number, 1000 * number + 300)
        ]
        path = raw / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zstandard.compress(("\n".join(lines) + "\n").encode()))


def _fineweb(raw: Path) -> None:
    folder = raw / "data" / "CC-MAIN-2024-10"
    folder.mkdir(parents=True)
    table = pa.table({"text": [text(n) for n in range(300)], "url": ["x"] * 300})
    pq.write_table(table, folder / "000_00000.parquet")


_PUBLISHED: dict[str, Callable[[Path], None]] = {
    "redpajama-v2": _redpajama_v2,
    "dolma": _dolma,
    "pile": _pile,
    "fineweb": _fineweb,
}


def test_redpajama(shared: Path, tmp_path: Path) -> None:
    folder = shared / "corpus" / "redpajama-mini"
    found = propose(folder, tmp_path)
    written = settings(tmp_path)
    assert written["preset"] == "redpajama-v1"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(written["domains"]) == set(manifest["domains"])
    for domain in found.decision.domains:
        true = manifest["domains"][domain.name]
        assert domain.amount.text_bytes == pytest.approx(true["utf8_bytes"], rel=0.25)
    load_config(tmp_path / "experiment.yaml", Experiment)


def test_the_beginning_of_redpajama_builds_and_plans(shared: Path, tmp_path: Path) -> None:
    for path in (shared / "corpus" / "redpajama-mini").rglob("*.jsonl"):
        lines = path.read_bytes().split(b"\n")[:60]
        copy = tmp_path / "mini" / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"\n".join(lines) + b"\n")
    found = propose(tmp_path / "mini", tmp_path)
    assert found.decision.survey.layout is not None
    assert len(check(tmp_path).domain_names) == 6


TRIALS = (
    "added-single-word", "brackets-run1", "content-column", "filter-comma", "glob-in-list",
    "json-bad-first-line", "layout-slim", "out-in-glob", "pq-int96", "pq-ts_ns_fraction",
    "tokenizer-swapped",
)  # fmt: skip


@pytest.mark.parametrize("case", TRIALS)
def test_field_cases(shared: Path, tmp_path: Path, case: str) -> None:
    propose(shared / "trials" / "build" / case, tmp_path)
    check(tmp_path)


def test_broken_files(shared: Path, tmp_path: Path) -> None:
    found: Proposal = propose(shared / "corpus" / "broken", tmp_path)
    (domain,) = found.decision.domains
    assert sum(look.malformed.total() for look in domain.looks) > 0
    build(tmp_path / "corpus.yaml", tmp_path / "shardset", workers=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda raw: None, "the folder is empty"),
        (lambda raw: raw.rmdir(), "no such folder"),
        (lambda raw: (raw.rmdir(), raw.write_text("x")), "is a file; give the folder"),
        (lambda raw: os.mkfifo(raw / "x.jsonl"), "1 pipes and devices"),
        (lambda raw: write(raw / "x.jsonl", [{"n": 1}, {"n": 2}]), "records have no text .*'n'"),
        (lambda raw: (raw / "x.jsonl").write_text(""), "1 empty files"),
        (lambda raw: (raw / "x.bin").write_bytes(b"\0\1" * 99), r"files with the ending \.bin"),
        (lambda raw: write(raw / "x.jsonl", [{"text": "so little"}]), "too little text"),
        (lambda raw: (raw / "x.jsonl").symlink_to("/proc/self/mem"), "cannot be read|empty"),
    ],
)
def test_nothing_to_read(raw: Path, make: Callable[[Path], object], message: str) -> None:
    make(raw)
    with pytest.raises(UserError, match=message):
        propose(raw, raw.parent)
    assert not (raw.parent / "corpus.yaml").exists()


def test_files_are_not_overwritten(raw: Path, tmp_path: Path) -> None:
    texts(raw / "web" / "a.jsonl", 0)
    (tmp_path / "run.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"run.yaml: is there already; --force"):
        propose(raw, tmp_path)
    assert (tmp_path / "run.yaml").read_text() == "mine"
    assert not (tmp_path / "corpus.yaml").exists()
    propose(raw, tmp_path, force=True)
    assert (tmp_path / "run.yaml").read_text() != "mine"
