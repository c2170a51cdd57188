import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.ingest.readers.json_array import json_blocks
from mixscale.ingest.readers.malformed import Malformed

RECORDS = st.lists(
    st.dictionaries(st.text(max_size=4), st.text(max_size=30) | st.integers(-(2**53), 2**53))
)


def read(data: bytes, size: int = 7) -> list[Any]:
    chunks = (data[place : place + size] for place in range(0, len(data), size))
    return [record for block in json_blocks(chunks) for record in block]


@given(RECORDS, st.booleans(), st.sampled_from([None, 1]), st.integers(1, 40))
def test_array_comes_back_from_any_chunks(
    records: list[Any], ascii_only: bool, indent: int | None, size: int
) -> None:
    data = json.dumps(records, ensure_ascii=ascii_only, indent=indent).encode()
    assert read(b"\xef\xbb\xbf" + data, max(size, 3)) == records


@given(st.binary(max_size=60))
def test_any_array_is_read_or_explained(data: bytes) -> None:
    for array in (b"[" + data + b"]", b'[{"text": "' + data + b'"}, 1]'):
        found = read(array)
        if any(isinstance(record, Malformed) for record in found):
            assert all(record.detail for record in found if isinstance(record, Malformed))
        else:
            assert found == json.loads(array)


@given(st.binary(max_size=60))
def test_any_other_bytes_are_read_or_explained(data: bytes) -> None:
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    if not read(data):
        assert text in (b"", b"[]") or not text.strip(b"[] \r\n\t")


def test_one_object_is_one_record() -> None:
    assert read(b'{\n "text": "a\\n",\n "n": [1, 2]\n}\n') == [{"text": "a\n", "n": [1, 2]}]


def test_json_lines_under_the_wrong_name() -> None:
    lines = b'{"text": "a"}\nbroken\n{"text": "c"}\n'
    first, second, third = read(lines)
    assert (first, third) == ({"text": "a"}, {"text": "c"})
    assert isinstance(second, Malformed)


def test_empty_file_and_empty_array() -> None:
    assert read(b"") == read(b" \n") == read(b"[]") == read(b" [ ] \n") == []


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b'[{"text": "a"}, {"text": "b"', "lost"),
        (b'[{"text": "a"} {"text": "b"}]', "expected ',' or ']'"),
        (b'[{"text": "a"}, ]', "comma"),
        (b'[{"text": "a"}', "the end of the file"),
        (b'[{"text": "a"}] [1]', "after the end"),
        (b'[{"text": "a"}, words, 3' + b" " * 99 + b"]", "lost"),
    ],
)
def test_what_comes_before_the_damage_is_kept(data: bytes, detail: str) -> None:
    first, malformed = read(data)
    assert first == {"text": "a"}
    assert detail in malformed.detail


def test_a_bad_text_does_not_spoil_its_neighbours() -> None:
    surrogate, utf8, good = read(b'[{"text": "\\ud800"}, {"text": "\xff"}, {"text": "c"}]')
    assert isinstance(surrogate, Malformed)
    assert "UTF-8" in utf8.detail
    assert good == {"text": "c"}
