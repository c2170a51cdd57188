import json
from typing import Any

import pytest

from mixscale.ingest.corpus import Domain
from mixscale.ingest.readers.malformed import PartlyRead, Unreadable
from mixscale.ingest.select.meta_json import MetaRule, to_json

RECORD = {
    "text": "t",
    "meta": {"language": "en", "n": 1},
    "url": "u",
    "html": "h" * 100,
}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, {"language": "en", "n": 1}),
        ({"meta": "none"}, None),
        ({"meta": "url"}, "u"),
        ({"meta": "meta.language"}, "en"),
        ({"meta": ["url"]}, {"url": "u"}),
        ({"meta": ["url", "meta.language", "gone"]}, {"url": "u", "meta": {"language": "en"}}),
        ({"meta": []}, None),
        ({"text": "html"}, {"language": "en", "n": 1}),
    ],
)
def test_what_is_kept(setting: dict[str, Any], expected: Any) -> None:
    stored, loss = MetaRule.of(Domain(**setting)).json(RECORD)
    assert (None if stored is None else json.loads(stored)) == expected
    assert loss is None


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    ("value", "loss"),
    [
        (nested(1000), "nested"),
        ({"x": b"\xff"}, "binary"),
        ({"x": "\ud800"}, "surrogate"),
        ({b"\xff": 1}, "binary"),
        ({"x": Unreadable("not UTF-8")}, "not UTF-8"),
        ({"x": 2**70}, None),
        ({(1, 2): 3}, None),
        ({"x": float("nan")}, None),
        (nested(90), None),
    ],
)
def test_anything_is_stored_or_its_loss_is_said(value: Any, loss: str | None) -> None:
    stored, losses = to_json(value)
    json.loads(stored)
    assert len(losses) == (loss is not None)
    assert all(str(loss) in said for said in losses)


def test_nothing_else_is_lost_with_it() -> None:
    stored, _ = to_json({"a": 1, "bad": b"\xff", "b": [1, {"c": "d"}]})
    assert json.loads(stored) == {"a": 1, "bad": "\ufffd", "b": [1, {"c": "d"}]}


def test_what_the_reader_left_out_is_said() -> None:
    _, loss = MetaRule.of(Domain()).json(PartlyRead({"text": "t"}, "too deep"))
    assert loss == "meta not stored whole: too deep"


def test_an_object_written_as_text_is_stored_as_an_object() -> None:
    stored, _ = MetaRule.of(Domain()).json({"text": "t", "meta": '{"a": [1]}'})
    assert json.loads(stored or b"") == {"a": [1]}
    stored, _ = MetaRule.of(Domain()).json({"text": "t", "meta": "{plain"})
    assert json.loads(stored or b"") == "{plain"
