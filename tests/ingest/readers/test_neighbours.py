"""Damage beside a text costs no text; damage in the text costs only its record."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixscale.ingest.build import build

TEXT = "the quick brown fox jumps over the lazy dog " * 4
BESIDE = {
    "NaN": b'"x": NaN',
    "infinity": b'"x": [1, {"y": -Infinity}]',
    "too large": b'"x": 1e999',
    "half of a pair": b'"x": "\\ud800 alone"',
    "key": b'"\\udc00": 1',
    "latin-1": b'"x": "caf\xe9"',
}


def quiet(corpus: Path, out: Path, **options: Any) -> Any:
    return build(corpus, out, **{"workers": 1, "progress": False, **options})


def record(number: int, beside: bytes, text: str = TEXT) -> bytes:
    return b'{"text": "%d %s", %s}' % (number, text.encode(), beside)


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("layout", ["lines", "array"])
def test_the_text_is_kept(
    name: str, layout: str, tmp_path: Path, write_corpus: Callable, read_built: Callable
) -> None:
    records = [record(0, b'"x": 1'), record(1, BESIDE[name]), record(2, b'"x": 2')]
    data = b"\n".join(records) if layout == "lines" else b"[" + b",\n".join(records) + b"]"
    (tmp_path / "a.json").write_bytes(data)
    quiet(write_corpus(domains={"d": {"paths": "a.json"}}), tmp_path / "out")
    rows = read_built(tmp_path / "out").documents("d")
    assert [row["status"] for row in rows] == ["kept"] * 3
    assert rows[1]["detail"].startswith("meta not stored whole: ")
    assert [row["detail"] for row in rows[::2]] == [None, None]
    assert json.loads(rows[1]["meta"]) is not None
    by_place = {("a.json", n + 1): f"{n} {TEXT}" for n in range(3)}
    read_built(tmp_path / "out").check_stream("d", "train", by_place)


def test_nothing_is_lost_that_is_not_asked_for(
    tmp_path: Path, write_corpus: Callable, read_built: Callable
) -> None:
    lines = [record(n, beside) for n, beside in enumerate(BESIDE.values())]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    corpus = write_corpus(domains={"d": {"paths": "a.jsonl", "meta": "none"}})
    quiet(corpus, tmp_path / "out")
    rows = read_built(tmp_path / "out").documents("d")
    assert {(row["status"], row["detail"], row["meta"]) for row in rows} == {("kept", None, None)}


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b"caf\xe9 au lait", "not UTF-8 at byte 14 of the line"),
        (b"\\ud800 alone", "not JSON: "),
    ],
)
def test_a_damaged_text_is_malformed(
    text: bytes, detail: str, tmp_path: Path, write_corpus: Callable, read_built: Callable
) -> None:
    lines = [record(0, b'"x": 1'), b'{"text": "%s", "x": 1}' % text, record(2, b'"x": 2')]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    quiet(write_corpus(domains={"d": {"paths": "a.jsonl"}}), tmp_path / "out")
    rows = read_built(tmp_path / "out").documents("d")
    assert [row["status"] for row in rows] == ["kept", "malformed", "kept"]
    assert rows[1]["detail"].startswith(detail)


def test_routing_looks_at_what_can_be_read(
    tmp_path: Path, write_corpus: Callable, read_built: Callable
) -> None:
    lines = [record(n, b'"set": "a", "x": NaN') for n in range(3)]
    lines += [b'{"text": "caf\xe9", "set": "a"}', record(9, b'"set": "b"'), record(10, b'"y": 1')]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    route = {"paths": "a.jsonl", "field": "set", "domains": {"a": "d"}}
    quiet(write_corpus(route=route), tmp_path / "out")
    built = read_built(tmp_path / "out")
    assert [row["status"] for row in built.documents("d")] == ["kept"] * 3
    found = [(row["status"], row["detail"]) for row in built.documents("unrouted")]
    assert found == [
        ("malformed", "not UTF-8 at byte 14 of the line"),
        ("filtered", "'set' names none of the domains; it is 'b'"),
        ("filtered", "'set' names none of the domains; the record has 'text', 'y'"),
    ]
