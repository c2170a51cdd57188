from typing import Any

import pytest
from pydantic import ValidationError

from mixscale.ingest.corpus import RESERVED, Corpus
from mixscale.ingest.select.rules import find_text, make_routing


def corpus(**settings: Any) -> Corpus:
    return Corpus.model_validate({"tokenizer": "t", "sequence_length": 2, **settings})


def route(domains: Any) -> Corpus:
    return corpus(route={"paths": "x", "field": "meta.set", "domains": domains})


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("web", "web", True),
        ("1", 1, True),
        ("1", 1.0, True),
        ("1.5", 1.5, True),
        ("1", "1", True),
        ("-3", -3, True),
        ("True", True, True),
        ("true", True, True),
        ("1", True, False),
        ("web", ["other", "web"], True),
        ("2", [1, 2], True),
        ("web", [], False),
        ("web", {"web": 1}, False),
        ("None", None, False),
    ],
)
def test_which_values_name_a_domain(key: str, value: Any, found: bool) -> None:
    routing = make_routing(route({key: "a"}))
    assert routing is not None
    assert (routing.rank({"meta": {"set": value}}) == 0) is found


def test_the_first_known_value_of_a_list_counts() -> None:
    routing = make_routing(route({"x": "a", "y": "b"}))
    assert routing is not None
    assert routing.rank({"meta": {"set": ["z", "y", "x"]}}) == 1


@pytest.mark.parametrize("name", [*RESERVED, "Index.duckdb"])
def test_names_of_our_own_files_are_refused_at_once(name: str) -> None:
    for settings in ({"domains": {name: {"paths": "x"}}},):
        with pytest.raises(ValidationError, match="reserved"):
            corpus(**settings)
    with pytest.raises(ValidationError, match="reserved"):
        route({"x": name})


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 300])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        corpus(domains={name: {"paths": "x"}})
    with pytest.raises(ValidationError):
        route({"x": name})


def test_binary_text_is_read() -> None:
    assert find_text({"text": "é".encode()}, ("text",)) == "é"
    assert find_text({"text": b""}, ("text",))[0] == "empty"
    assert "not UTF-8 at byte 2" in find_text({"text": b"a\xff"}, ("text",))[1]
