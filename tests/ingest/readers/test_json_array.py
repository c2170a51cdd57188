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


_C = b'{"text": "c", "id": 2}'
A, B, C = ({"text": letter, "id": n} for n, letter in enumerate("abc"))


@pytest.mark.parametrize(
    ("data", "records", "detail"),
    [
        (b'[{"text": "a", "id": 0}, {"text": "b"', [A], "lost"),
        (b'[{"text": "a", "id": 0} {"text": "b", "id": 1}]', [A, B], "expected ',' or ']'"),
        (b'[{"text": "a", "id": 0}, ]', [A], "comma"),
        (b'[{"text": "a", "id": 0}', [A], "the end of the file"),
        (b'[{"text": "a", "id": 0}] [1]', [A, 1], "after the end"),
        (b'[{"text": "a", "id": 0}, words, 3' + b" " * 99 + b"]", [A], "lost"),
        (b'[{"text": "a", "id": 0}, {"text": "x" "m": {"id": 3}}, ' + _C + b"]", [A, C], "lost"),
        (b'[{"text": x, "m": [{"t": 1}, {"t": 2}], "y": 0},\n' + _C + b"]", [C], "lost"),
        (b'[{"text": a, "id": 0}, {"text": "b", "id": 1}, {"text": "c", "id": 2}]', [B, C], "lost"),
        (b'[\n{"text": "a", "id": 0},\n{"text": "\n{"text": "c", "id": 2}\n]', [A, C], "lost"),
        (b'{"text": "a", "id": 0},\n{"text": "b", "id": 1}\n]', [A, B], "outside"),
        (b'[{"text": "a", "id": 0}]\n{"text": "b", "id": 1}\n', [A, B], "after the end"),
        (b'{\n "text": "a"\n "id": 0\n}\n{\n "text": "b",\n "id": 1\n}\n', [B], "lost"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [3, 7, 1000])
def test_damage_costs_only_what_it_touches(
    data: bytes, records: list[Any], detail: str, size: int
) -> None:
    found = read(data, size)
    assert [record for record in found if not isinstance(record, Malformed)] == records
    (malformed,) = (record for record in found if isinstance(record, Malformed))
    assert detail in malformed.detail


@pytest.mark.parametrize("first", [b'{"text": "a', b"\x00\x00", b'"text": "a"}', b"}{", b'{"a": {'])
@pytest.mark.parametrize("size", [5, 1 << 20])
def test_a_damaged_first_line_costs_no_other(first: bytes, size: int) -> None:
    lines = b"".join(b'{"text": "t%d", "id": %d}\n' % (n, n) for n in range(200))
    malformed, *records = read(first + b"\n" + lines, size)
    assert isinstance(malformed, Malformed)
    assert [record["id"] for record in records] == list(range(200))


@given(st.integers(1, 18), st.integers(0, 40), st.binary(min_size=1, max_size=12))
def test_damage_inside_an_array_leaves_the_other_records(
    number: int, offset: int, noise: bytes
) -> None:
    records = [{"text": f"the text of {n}", "meta": {"n": n, "of": [n]}} for n in range(20)]
    pieces = [json.dumps(record).encode() for record in records]
    place = offset % len(pieces[number])
    pieces[number] = pieces[number][:place] + noise + pieces[number][place + 1 :]
    found = read(b"[" + b",\n".join(pieces) + b"]", 64)
    whole = [record for record in found if record in records]
    assert [r for n, r in enumerate(records) if n != number] == [
        r for r in whole if r["meta"]["n"] != number
    ]


def test_objects_one_after_the_other() -> None:
    assert read(json.dumps(A, indent=1).encode() + b"\n" + json.dumps(B, indent=1).encode()) == [
        A,
        B,
    ]
    assert read(b'[{"text": "a", "id": 0}]'.replace(b",", b",\n")) == [A]


def test_deep_nesting_costs_no_text() -> None:
    deep = b'{"text": "a", "meta": ' + b'{"x": [' * 3000 + b"1" + b"]}" * 3000 + b', "id": 0}'
    for data in (b"[" + deep + b", 1]", deep + b"\n1\n"):
        record, one = read(data, 100)
        assert (record["text"], record["id"], one) == ("a", 0, 1)
        assert "nested more than" in record.loss


def test_a_bad_text_does_not_spoil_its_neighbours() -> None:
    surrogate, utf8, good = read(b'[{"text": "\\ud800"}, {"text": "\xff"}, {"text": "c"}]')
    assert isinstance(surrogate, Malformed)
    assert "UTF-8" in utf8.detail
    assert good == {"text": "c"}
