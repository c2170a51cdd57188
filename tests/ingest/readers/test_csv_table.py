import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.ingest.readers.csv_table import read_csv, read_tsv
from mixscale.ingest.readers.malformed import Empty, Malformed, Unreadable
from mixscale.ingest.readers.source_file import SourceFile, Unit

CELLS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=9
)


def read(folder: Path, data: bytes, reader: Any = read_csv) -> list[Any]:
    path = folder / "a.csv"
    path.write_bytes(data)
    file = SourceFile(
        address=str(path), name="a", format="csv", compression=None, size=len(data), version="",
        domain="d",
    )  # fmt: skip
    unit = Unit(file=file, start=0, end=None)
    return [record for block in reader(unit) for record in block]


@pytest.mark.parametrize(("reader", "delimiter"), [(read_csv, ","), (read_tsv, "\t")])
@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=8))
def test_what_python_writes_comes_back(
    tmp_path_factory: Any, rows: list[tuple[str, str]], reader: Any, delimiter: str
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "id"), *rows])
    data = b"\xef\xbb\xbf" + stream.getvalue().encode()
    found = read(tmp_path_factory.mktemp("csv"), data, reader)
    assert found == [{"text": text, "id": number} for text, number in rows]


def test_damage_costs_its_own_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["text,id", "a,1", "b", '"c"c,3', "", "d\xff,4", '"e\nf",5', '"open,6', "g,7"]
    data = "\n".join(lines).encode("latin-1") + b"\n"
    for most in (100_000, 3):
        monkeypatch.setattr("mixscale.ingest.readers.csv_table._MOST_LINES", most)
        found = read(tmp_path, data)
        assert [type(record) for record in found] == [dict, Malformed, Malformed, Empty, dict, dict,
                                                      Malformed, dict]  # fmt: skip
        assert found[0] == {"text": "a", "id": "1"}
        assert found[4] == {"text": Unreadable("not UTF-8"), "id": "4"}
        assert found[5] == {"text": "e\nf", "id": "5"}
        assert found[7] == {"text": "g", "id": "7"}


def test_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path, b"") == read(tmp_path, b"text,id\n") == []


def test_quotes_in_tsv_may_be_part_of_the_text(tmp_path: Path) -> None:
    rows = [
        '1\t"Hello" he said',
        '2\t"both" and "more"',
        '3\t"plain quoted"',
        "4\t5\t6",
        '7\t"open',
    ]
    found = read(tmp_path, "\n".join(["id\ttext", *rows]).encode(), read_tsv)
    assert found[:3] == [
        {"id": "1", "text": '"Hello" he said'},
        {"id": "2", "text": '"both" and "more"'},
        {"id": "3", "text": "plain quoted"},
    ]
    assert isinstance(found[3], Malformed)
    assert found[4] == {"id": "7", "text": '"open'}
