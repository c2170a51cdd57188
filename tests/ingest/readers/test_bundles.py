"""Small files are read together, whatever else is in the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build
from mixscale.ingest.readers.bundles import bundle_units
from mixscale.ingest.readers.cut_units import UNIT_BYTES, cut_units
from mixscale.ingest.readers.source_file import SourceFile, Unit
from mixscale.ingest.stages.read import ReadTask, read_bundle

SIZES = st.lists(st.sampled_from([0, 10, 5_000, 3_000_000, UNIT_BYTES, 2 * UNIT_BYTES]))


def source(name: str, size: int, domain: str = "a") -> SourceFile:
    return SourceFile(
        address=f"/{domain}/{name}",
        name=name,
        format="jsonl",
        compression=None,
        size=size,
        version="1",
        domain=domain,
    )


def units_of(sizes: list[int]) -> list[Unit]:
    return cut_units([source(f"{number}.jsonl", size) for number, size in enumerate(sizes)])


@given(SIZES)
def test_bundles_are_all_units_in_their_order(sizes: list[int]) -> None:
    units = units_of(sizes)
    bundles = bundle_units(units)
    assert [unit for bundle in bundles for unit in bundle] == units
    for bundle in bundles:
        if len(bundle) > 1:
            assert all(unit.end is None for unit in bundle)
            assert sum(unit.file.size for unit in bundle) < 2 * UNIT_BYTES


def test_many_small_files_are_few_bundles() -> None:
    assert len(bundle_units(units_of([400] * 20_000))) < 40


@pytest.mark.parametrize("place", [0, 7_000, 20_000])
def test_another_file_changes_few_bundles(place: int) -> None:
    files = [source(f"{number}.jsonl", 400) for number in range(20_000)]
    before = set(bundle_units(cut_units(files)))
    files.insert(place, source("new.jsonl", 400))
    after = set(bundle_units(cut_units(files)))
    assert len(after - before) <= 2


def test_domains_and_equal_names_are_kept_apart() -> None:
    files = [source("1.jsonl", 5), source("1.jsonl", 5, "b"), source("2.jsonl", 5, "b")]
    assert [len(bundle) for bundle in bundle_units(cut_units(files))] == [1, 2]
    twice = [source("1.jsonl", 5), source("1.jsonl", 5)]
    assert [len(bundle) for bundle in bundle_units(cut_units(twice))] == [1, 1]


@pytest.fixture
def notes(tmp_path: Path, write_corpus: Callable) -> Path:
    """Small text files, some of them empty, damaged, or copies of others."""
    for number in range(60):
        path = tmp_path / "notes" / f"{number:03}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"note {number % 50}: " + " ".join(f"w{number % 50 * n}" for n in range(30))
        )
    (tmp_path / "notes" / "010.txt").write_text("")
    (tmp_path / "notes" / "020.txt").write_bytes(b"abc \xff")
    return write_corpus(domains={"notes": {"paths": "notes/*.txt"}}, split={"validation": 0.2})


def quiet(corpus: Path, out: Path, **options: Any) -> Any:
    return build(corpus, out, **{"workers": 1, "progress": False, **options})


def test_small_files_share_parquet_files_and_keep_their_names(
    notes: Path, tmp_path: Path, read_built: Any
) -> None:
    quiet(notes, tmp_path / "out")
    assert len(list((tmp_path / "out" / "documents" / "notes").iterdir())) == 1
    built = read_built(tmp_path / "out")
    rows = built.documents("notes")
    assert [row["source_file"] for row in rows] == [f"notes/{n:03}.txt" for n in range(60)]
    # The file of no bytes has one record without a text.
    assert {row["source_row"] for row in rows} == {1}
    assert rows[10]["status"] == "empty"
    assert (rows[20]["status"], rows[20]["detail"]) == ("malformed", "not UTF-8 at byte 5")
    assert (rows[55]["status"], rows[55]["detail"]) == ("duplicate", "notes/005.txt:1")
    texts = {
        (name, 1): (tmp_path / name).read_text(errors="replace")
        for name in {row["source_file"] for row in rows}
    }
    for split in ("train", "validation"):
        built.check_stream("notes", split, texts)


def test_strict_names_the_small_file(notes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"notes/020\.txt:1: not UTF-8 at byte 5"):
        quiet(notes, tmp_path / "out", strict=True)


def test_shards_are_those_of_the_same_texts_in_one_file(
    notes: Path, tmp_path: Path, write_corpus: Callable, read_tree: Callable
) -> None:
    quiet(notes, tmp_path / "many")
    records = []
    for path in sorted((tmp_path / "notes").iterdir()):
        text = path.read_bytes()
        records.append(None if b"\xff" in text else {"text": text.decode()})
    lines = (json.dumps(record) + "\n" for record in records)
    (tmp_path / "one.jsonl").write_text("".join(lines))
    domains = {"notes": {"paths": "one.jsonl"}}
    quiet(write_corpus(domains=domains, split={"validation": 0.2}), tmp_path / "one")
    trees = [
        {name: data for name, data in read_tree(out).items() if name.endswith(".mds")}
        for out in (tmp_path / "many", tmp_path / "one")
    ]
    assert trees[0] == trees[1]


def test_small_files_that_are_added_give_the_bytes_of_a_new_build(
    notes: Path, tmp_path: Path, read_tree: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some bundles of several files.
    monkeypatch.setattr("mixscale.ingest.readers.cut_units.UNIT_BYTES", 1 << 13)
    quiet(notes, tmp_path / "out", workers=2)
    parts = len(list((tmp_path / "out" / "documents" / "notes").iterdir()))
    assert 3 < parts < 58
    (tmp_path / "notes" / "0301.txt").write_text("a text between the others " * 9)
    read: set[str] = set()

    def watched(task: ReadTask) -> Any:
        if not task.completion.exists():
            read.update(unit.file.name for unit in task.units)
        return read_bundle(task)

    monkeypatch.setattr("mixscale.ingest.build.read_bundle", watched)
    quiet(notes, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr("mixscale.ingest.readers.cut_units.UNIT_BYTES", 1 << 13)
    assert "notes/0301.txt" in read
    # The file of the same bundle as the new one, and no more, are read again.
    assert len(read) < 30
    quiet(notes, tmp_path / "fresh", workers=2)
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "fresh")


def test_a_changed_small_file_is_noticed(notes: Path, tmp_path: Path) -> None:
    quiet(notes, tmp_path / "out")
    path = tmp_path / "notes" / "030.txt"
    path.write_text(path.read_text().replace("note 30", "note 39"))
    with pytest.raises(UserError, match=r"input changed: notes:notes/030\.txt"):
        quiet(notes, tmp_path / "out")
