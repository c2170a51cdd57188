"""What a build says about records that it left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixscale.contracts.errors import UserError
from mixscale.ingest.build import build
from mixscale.shards.sql.query import query_arrow


def quiet(corpus: Path, out: Path, **options: Any) -> Any:
    return build(corpus, out, **{"workers": 1, "progress": False, **options})


def text(number: int) -> str:
    return f"{number} the quick brown fox " * 4


def test_a_wrong_text_field_is_explained(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable
) -> None:
    write_lines("d/a.jsonl", [{"content": text(n), "license": "mit"} for n in range(50)])
    corpus = write_corpus(domains={"d": {"paths": "d/*"}})
    with pytest.raises(UserError) as caught:
        quiet(corpus, tmp_path / "out")
    message = str(caught.value)
    assert "d/train: 0 documents with 0 tokens of 50 records read" in message
    assert "50 malformed: no field 'text'; the record has 'content', 'license'" in message
    assert "first: d/a.jsonl:1" in message
    assert "set `domains.d.text`" in message
    rejects = query_arrow(tmp_path / "out", "SELECT * FROM rejects").to_pylist()
    assert len(rejects) == 50
    assert rejects[1]["source_row"] == 2
    assert {row["status"] for row in rejects} == {"malformed"}
    metas = query_arrow(tmp_path / "out", "SELECT meta->>'$.license' AS l FROM documents")
    assert set(metas.column("l").to_pylist()) == {"mit"}
    corpus = write_corpus(domains={"d": {"paths": "d/*", "text": "content"}})
    assert quiet(corpus, tmp_path / "out").domains["d"]["train"].documents == 50
    assert query_arrow(tmp_path / "out", "SELECT * FROM rejects").num_rows == 0


def test_records_of_small_files_read_together_are_located(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable
) -> None:
    files = {
        "a.jsonl": [{"text": text(n)} for n in range(3)],
        "b.jsonl": [],
        "c.jsonl": [{"text": text(10)}, {"text": text(11)}, "broken"],
        "d.jsonl": ["broken", {"text": text(12)}],
    }
    for name, lines in files.items():
        write_lines(f"d/{name}", lines)
    corpus = write_corpus(domains={"d": {"paths": "d/*"}})
    with pytest.raises(UserError) as caught:
        quiet(corpus, tmp_path / "out", max_malformed="1%")
    assert "d: 2 of 8 records (25.00%)" in str(caught.value)
    assert "2 malformed: not JSON" in str(caught.value)
    assert "(first: d/c.jsonl:3)" in str(caught.value)
    query = "SELECT source_file, source_row, status FROM documents ORDER BY ALL"
    rows = query_arrow(tmp_path / "out", query).to_pylist()
    assert [(row["source_file"], row["source_row"]) for row in rows] == [
        (f"d/{name}", number)
        for name, lines in files.items()
        for number in range(1, len(lines) + 1)
    ]
    rejected = [row for row in rows if row["status"] == "malformed"]
    assert [(row["source_file"], row["source_row"]) for row in rejected] == [
        ("d/c.jsonl", 3),
        ("d/d.jsonl", 1),
    ]


def test_filters_and_lengths_are_counted(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable
) -> None:
    records = [{"text": text(n), "lang": "de"} for n in range(30)]
    write_lines("d/a.jsonl", [*records, *({"text": f"s{n}", "lang": "en"} for n in range(9, 13))])
    domain = {"paths": "d/*", "filters": "lang == en", "min_characters": 20}
    with pytest.raises(UserError) as caught:
        quiet(write_corpus(domains={"d": domain}), tmp_path / "out")
    message = str(caught.value)
    assert "30 filtered: lang == en (first: d/a.jsonl:1)" in message
    assert "4 too_short: … characters, fewer than … (first: d/a.jsonl:31)" in message.replace(
        "than 20", "than …"
    )
    assert "check `domains.d.filters`" in message


@pytest.mark.parametrize(
    ("limit", "refused"),
    [("1%", True), ("4%", False), (0.05, False), ("0", True), (0.03, True), (None, False)],
)
def test_a_share_of_malformed_records_may_be_allowed(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, limit: Any, refused: bool
) -> None:
    write_lines("a/a.jsonl", [*({"text": text(n)} for n in range(96)), *["broken"] * 4])
    write_lines("b/a.jsonl", [{"text": text(n)} for n in range(1000, 2000)])
    corpus = write_corpus(domains={"a": {"paths": "a/*"}, "b": {"paths": "b/*"}})
    if not refused:
        quiet(corpus, tmp_path / "out", max_malformed=limit)
        return
    with pytest.raises(UserError, match=r"cannot be read:\n  a: 4 of 100 records \(4\.00%\)"):
        quiet(corpus, tmp_path / "out", max_malformed=limit)
    assert query_arrow(tmp_path / "out", "SELECT * FROM rejects").num_rows == 4


@pytest.mark.parametrize("limit", ["x", "101%", -1, "1%%", "1.1"])
def test_a_share_that_is_none(tmp_path: Path, write_corpus: Callable, limit: Any) -> None:
    corpus = write_corpus(domains={"a": {"paths": "a/*"}})
    with pytest.raises(UserError, match="expected a share such as 1% or"):
        quiet(corpus, tmp_path / "out", max_malformed=limit)


def test_a_large_part_left_out_is_warned_about(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable, capsys: Any
) -> None:
    write_lines("a/a.jsonl", [*({"text": text(n)} for n in range(40)), *["broken"] * 10])
    write_lines("b/a.jsonl", [*({"text": text(n)} for n in range(99, 148)), "broken"])
    levels = '{"a":' * 300 + "1" + "}" * 300
    deep = f'{{"text": "{text(1000)}", "meta": {levels}}}'
    write_lines("c/a.jsonl", [*({"text": text(n)} for n in range(200, 240)), deep])
    domains = {name: {"paths": f"{name}/*"} for name in "abc"}
    build(write_corpus(domains=domains), tmp_path / "out", workers=1)
    said = capsys.readouterr().err
    assert "warning: a: 10 of 50 records were left out" in said
    assert "10 malformed: not JSON" in said
    assert "warning: b" not in said
    assert "warning: 1 records are kept with a part of their meta missing" in said
    query = "SELECT count(*) AS n FROM documents WHERE detail LIKE 'meta not stored whole%'"
    assert query_arrow(tmp_path / "out", query).to_pylist() == [{"n": 1}]
    query = "SELECT meta::VARCHAR AS m FROM documents WHERE detail IS NOT NULL AND domain = 'c'"
    (row,) = query_arrow(tmp_path / "out", query).to_pylist()
    assert json.loads(row["m"])["a"]


def test_a_wrong_field_of_the_route_is_explained(
    tmp_path: Path, write_lines: Callable, write_corpus: Callable
) -> None:
    write_lines("d/a.jsonl", [{"text": text(n), "set": "x"} for n in range(30)])
    corpus = write_corpus(route={"paths": "d/*", "field": "st", "domains": {"x": "a"}})
    with pytest.raises(UserError) as caught:
        quiet(corpus, tmp_path / "out")
    message = str(caught.value)
    assert "30 filtered: 'st' names none of the domains; the record has 'text', 'set'" in message
    assert "check `route.field` and `route.domains`" in message
