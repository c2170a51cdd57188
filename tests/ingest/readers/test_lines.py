import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mixscale.ingest.readers.lines import line_blocks
from mixscale.ingest.readers.malformed import DamagedFile, Malformed


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    return [piece for piece in pieces if piece]


def lines_of(chunks: list[bytes]) -> list[bytes]:
    return [line for block in line_blocks(iter(chunks)) for line in block]  # type: ignore[union-attr]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_lines_do_not_depend_on_the_chunks(data: bytes, cuts: list[int]) -> None:
    expected = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if data.endswith(b"\n") or not data:
        expected.pop()
    pieces = cut(data, cuts)
    # The byte order mark of a file is whole in its first block in practice.
    if pieces and len(pieces[0]) < 3:
        pieces = [data]
    assert lines_of(pieces) == expected


def test_damage_is_one_row_behind_the_whole_lines() -> None:
    def chunks() -> Any:
        yield b"1\n2\n3"
        raise DamagedFile("cut short")

    assert list(line_blocks(chunks())) == [[b"1", b"2"], Malformed("cut short")]
