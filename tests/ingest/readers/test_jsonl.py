import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.ingest.readers.jsonl import parse_line, parse_lines
from mixscale.ingest.readers.lines import line_blocks
from mixscale.ingest.readers.malformed import Empty, Malformed

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(JSON_VALUES, st.booleans())
def test_values_come_back(value: Any, ascii_only: bool) -> None:
    assert parse_line(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


def _number(text: str) -> float:
    """Read an integer as orjson does, which has no more than 64 bits for it."""
    return int(text) if -(2**63) <= int(text) < 2**64 else float(text)


def check_line(line: bytes) -> None:
    """What is parsed is what the standard library reads; all else has a reason."""
    result = parse_line(line)
    if isinstance(result, Malformed | Empty):
        assert result.detail
        assert isinstance(result, Empty) == (not line.strip())
    else:
        assert result == json.loads(line, parse_int=_number)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_explained(data: bytes) -> None:
    check_line(data)


@given(JSON_VALUES, st.integers(0, 500), st.binary(min_size=1, max_size=3))
def test_what_is_nearly_json_is_read_or_explained(value: Any, place: int, noise: bytes) -> None:
    data = json.dumps({"text": value}).encode()
    place %= len(data)
    check_line(data[:place] + noise + data[place + 1 :])


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b"plain words", "not JSON"),
        (b'{"text": "half', "not JSON"),
        (b'{"text": "\\ud800 alone"}', "not JSON"),
        (b'{"text": "\xff\xfe"}', "not UTF-8 at byte 11 of the line"),
        (b'{"text": NaN}', "not JSON"),
        (b'{"text": "raw \x01 control"}', "not JSON"),
        (b"[" * 5000, "not JSON"),
    ],
)
def test_fault_says_what_is_wrong(line: bytes, detail: str) -> None:
    result = parse_line(line)
    assert isinstance(result, Malformed)
    assert result.detail.startswith(detail)


def test_last_of_two_equal_keys_counts() -> None:
    assert parse_line(b'{"text": "a", "text": "b"}') == {"text": "b"}


def test_line_separators_of_unicode_are_text() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
    data = json.dumps({"text": text}, ensure_ascii=False).encode() + b"\r\n"
    (line_list,) = line_blocks(iter([data]))
    assert not isinstance(line_list, Malformed)
    assert parse_lines(line_list) == [{"text": text}]


def test_lines_that_end_with_a_carriage_return_alone_are_lines() -> None:
    whole = b'{"text": "a"}\r{"text": "b\r{"text": "c"}\r'
    first, damaged, last = parse_lines([whole])
    assert (first, last) == ({"text": "a"}, {"text": "c"})
    assert isinstance(damaged, Malformed)
    # Between the parts of one value it is white space, and in a text that is damaged it is damage.
    assert parse_lines([b'{"text":\r"a"}\r']) == [{"text": "a"}]
    assert len(parse_lines([b'{"text": "a\rb"}'])) == 1


def test_blank_line_is_told_from_damage() -> None:
    blank, damage = parse_lines([b"  \r", b"x"])
    assert blank == Empty("a blank line")
    assert isinstance(damage, Malformed)
