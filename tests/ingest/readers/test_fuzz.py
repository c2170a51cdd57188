"""Damaged files of every format: no traceback, and no neighbour lost."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mixscale.ingest.corpus import Corpus
from mixscale.ingest.readers.source_file import SourceFile, Unit
from mixscale.ingest.select.classify import ReadSettings, classified_blocks
from mixscale.ingest.select.rules import make_rules
from mixscale.ingest.unit_rows import STATUS

TEXTS = [f"text {n} with “quotes”, a \\ and \u0000 and \U0001f600" for n in range(30)]
RECORDS = [{"text": text, "meta": {"n": n, "list": [n, None]}} for n, text in enumerate(TEXTS)]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()


def _table(write: Callable[[pa.Table, Any], object]) -> bytes:
    stream = io.BytesIO()
    write(pa.Table.from_pylist(RECORDS), stream)
    return stream.getvalue()


def _arrow(table: pa.Table, stream: Any) -> None:
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


FILES = {
    "jsonl": LINES,
    "json": json.dumps(RECORDS, indent=1).encode(),
    "parquet": _table(lambda table, stream: pq.write_table(table, stream, row_group_size=7)),
    "arrow": _table(_arrow),
    "text": LINES,
}
PACKERS: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete", "cut", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from([*b'"{}[],:\\\n\r \x00\xff\xc3', *b"eE-0u"]),
    ),
    max_size=4,
)
CORPUS = Corpus.model_validate(
    {"domains": {"d": {"paths": "x"}}, "tokenizer": "t", "sequence_length": 8}
)
SETTINGS = ReadSettings(rules=make_rules(CORPUS), routing=None, skip_repeats=False)


def damaged(data: bytes, edits: list[tuple[str, float, int]]) -> bytes:
    result = bytearray(data)
    for kind, share, byte in edits:
        place = int(share * len(result))
        if not result:
            return b""
        if kind == "flip":
            result[place] ^= 1 << byte % 8
        elif kind == "insert":
            result.insert(place, byte)
        elif kind == "delete":
            del result[place : place + 1 + byte % 9]
        elif kind == "cut":
            del result[place:]
        else:
            result[place:place] = result[place : place + byte]
    return bytes(result)


def read(path: Path, format_name: str, compression: str | None) -> list[tuple[str, str]]:
    """The status of every record, with the text of those that have one."""
    file = SourceFile(
        address=str(path),
        name="f",
        format=format_name,
        compression=compression,
        size=path.stat().st_size,
        version="",
        domain="d",
    )
    found: list[tuple[str, str]] = []
    for block in classified_blocks(Unit(file=file, start=0, end=None), SETTINGS):
        texts = iter(block.texts)
        for row in block.rows:
            status = STATUS[row.status]
            found.append((status, next(texts).decode() if status == "kept" else ""))
            assert row.detail or status == "kept"
    return found


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file"


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("format_name", FILES)
@settings(max_examples=40)
@given(EDITS, EDITS)
def test_no_damage_raises(
    scratch: Path,
    format_name: str,
    compression: str | None,
    inside: list[tuple[str, float, int]],
    outside: list[tuple[str, float, int]],
) -> None:
    data = PACKERS[compression](damaged(FILES[format_name], inside))
    scratch.write_bytes(damaged(data, outside))
    rows = read(scratch, format_name, compression)
    assert all(status in STATUS for status, _ in rows)
    if not inside and not outside and format_name != "text":
        assert rows == [("kept", text) for text in TEXTS]


@pytest.mark.parametrize("format_name", ["jsonl", "json"])
@settings(max_examples=100)
@given(st.integers(0, len(RECORDS) - 1), EDITS)
def test_neighbours_of_a_damaged_record_stay(
    scratch: Path, format_name: str, number: int, edits: list[tuple[str, float, int]]
) -> None:
    parts = [json.dumps(record, ensure_ascii=False).encode() for record in RECORDS]
    parts[number] = damaged(parts[number], edits)
    if format_name == "jsonl":
        scratch.write_bytes(b"\n".join([*parts, b""]))
    else:
        scratch.write_bytes(b"[" + b",\n".join(parts) + b"]")
    rows = read(scratch, format_name, None)
    before = [("kept", text) for text in TEXTS[:number]]
    assert rows[:number] == before
    if format_name == "jsonl":
        # An edit may have cut the line in two.
        after = [("kept", text) for text in TEXTS[number + 1 :]]
        assert rows[len(rows) - len(after) :] == after
        assert len(rows) == len(TEXTS) + parts[number].count(b"\n")


@pytest.mark.parametrize("compression", ["gz", "zst"])
@settings(max_examples=60)
@given(st.floats(0.01, 1, exclude_max=True))
def test_lines_before_a_cut_stay(scratch: Path, compression: str, share: float) -> None:
    whole = PACKERS[compression](LINES)
    scratch.write_bytes(whole[: max(1, int(len(whole) * share))])
    rows = read(scratch, "jsonl", compression)
    assert rows[-1][0] == "malformed"
    assert rows[:-1] == [("kept", text) for text in TEXTS[: len(rows) - 1]]
