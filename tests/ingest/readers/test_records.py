import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.contracts.errors import UserError
from mixscale.ingest.readers.records import record_blocks
from mixscale.ingest.readers.source_file import SourceFile, Unit


def source(path: Path, kind: str = "jsonl", compression: str | None = None) -> SourceFile:
    return SourceFile(
        address=str(path),
        name=path.name,
        format=kind,
        compression=compression,
        size=path.stat().st_size if path.exists() else 0,
        version="",
        domain="d",
    )


def records(file: SourceFile, start: int = 0, end: int | None = None) -> list[object]:
    unit = Unit(file=file, start=start, end=end)
    return [record for block in record_blocks(unit) for record in block]


@given(
    st.lists(st.integers(0, 10**9) | st.just(""), max_size=12),
    st.lists(st.integers(0, 200), max_size=5),
    st.booleans(),
)
def test_ranges_share_out_the_lines(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[object],
    cuts: list[int],
    ends_with_newline: bool,
) -> None:
    path = tmp_path_factory.mktemp("ranges") / "a.jsonl"
    text = "\n".join(str(value) for value in values)
    path.write_text(text + "\n" if ends_with_newline else text)
    file = source(path)
    size = file.size
    places = [0, *sorted(c % (size + 1) for c in cuts), size]
    parts = [r for a, b in itertools.pairwise(places) for r in records(file, a, b)]
    assert parts == records(file)


def test_text_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert records(source(path, "text")) == [{"text": "one\r\ntwo\n"}]


@pytest.mark.parametrize("kind", ["jsonl", "json", "text", "parquet", "arrow"])
def test_vanished_file_is_no_damaged_record(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match="gone: cannot read: No such file or directory; once it"):
        records(source(tmp_path / "gone", kind))


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_other_bytes_are_no_table(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    path.write_text(json.dumps({"text": "a"}) * 100)
    (malformed,) = records(source(path, kind))
    assert "not readable as" in malformed.detail  # type: ignore[attr-defined]
