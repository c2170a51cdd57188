import datetime
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard

from mixscale.ingest.readers.arrow import read_arrow
from mixscale.ingest.readers.malformed import DamagedFile, Malformed, Unreadable
from mixscale.ingest.readers.parquet import read_parquet
from mixscale.ingest.readers.source_file import SourceFile, Unit
from mixscale.ingest.select.meta_json import to_json

TABLE = pa.table(
    {
        "text": [f"text {n}" for n in range(1300)],
        "meta": [{"language": "en", "n": n} for n in range(1300)],
        "day": [datetime.date(2020, 1, 1)] * 1300,
    }
)


def source(path: Path, compression: str | None = None) -> Unit:
    file = SourceFile(
        address=str(path),
        name=path.name,
        format="",
        compression=compression,
        size=0,
        version="",
        domain="d",
    )
    return Unit(file=file, start=0, end=None)


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


def write_file(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (lambda table, path: pq.write_table(table, path, row_group_size=200), read_parquet),
        (write_stream, read_arrow),
        (write_file, read_arrow),
        (lambda table, path: pyarrow.feather.write_feather(table, str(path)), read_arrow),
    ],
    ids=["parquet", "stream", "file", "feather"],
)
@pytest.mark.parametrize("compression", [None, "zst"])
def test_rows_come_back(
    tmp_path: Path, write: Callable, read: Callable, compression: str | None
) -> None:
    path = tmp_path / "table"
    write(TABLE, path)
    if compression is not None:
        path.write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    assert [row for rows in read(source(path, compression)) for row in rows] == TABLE.to_pylist()


def test_text_that_is_not_utf8_does_not_spoil_its_neighbours(tmp_path: Path) -> None:
    data = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary())
    column = pa.StringArray.from_buffers(3, *data.buffers()[1:])
    write_file(pa.table({"text": column}), tmp_path / "a.arrow")
    (first, second, third) = next(iter(read_arrow(source(tmp_path / "a.arrow"))))
    assert (first, third) == ({"text": "good"}, {"text": "fine"})
    assert second == {"text": Unreadable("not UTF-8")}


def read_all(read: Callable, path: Path) -> list[Any]:
    return [row for rows in read(source(path)) for row in rows]


COLUMNS = {
    "int96 or nanoseconds": (pa.array([1, 1000, None], pa.timestamp("ns")), 0),
    "nanoseconds with a zone": (pa.array([1, 2, 3], pa.timestamp("ns", "Europe/Berlin")), 0),
    "durations": (pa.array([1, 2**62, None], pa.duration("s")), 0),
    "nanosecond durations": (pa.array([1, 2000, None], pa.duration("ns")), 0),
    "times of day": (pa.array([1, 2000, None], pa.time64("ns")), 0),
    "far years": (pa.array([10**13, -(10**12), 0], pa.timestamp("s")), 0),
    "far days": (pa.array([10**7, -(10**7), 0], pa.date32()), 0),
    "decimals": (pa.array([Decimal("1.10"), None, Decimal("-2.20")]), 0),
    "binary": (pa.array([b"\xff", b"ok", None], pa.binary()), 1),
    "inside": (pa.array([[{"t": 1}], [], None], pa.list_(pa.struct({"t": pa.timestamp("ns")}))), 0),
    "intervals": (pa.array([(1, 2, 3), None, (0, 0, 1)], pa.month_day_nano_interval()), 0),
    "dictionary": (pa.array([1, 1, 2], pa.timestamp("ns")).dictionary_encode(), 0),
    "pairs": (pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.duration("ns"))), 0),
    "not UTF-8": (
        pa.StringArray.from_buffers(3, *pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers()[1:]),
        1,
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_no_column_costs_the_text_beside_it(tmp_path: Path, name: str) -> None:
    column, losses = COLUMNS[name]
    write_file(pa.table({"text": ["a", "b", "c"], "x": column}), tmp_path / "a.arrow")
    rows = read_all(read_arrow, tmp_path / "a.arrow")
    assert [row["text"] for row in rows] == ["a", "b", "c"]
    stored = [to_json(row["x"]) for row in rows]
    assert sum(bool(lost) for _, lost in stored) == losses
    for value, null in zip(stored, column.is_null().to_pylist(), strict=True):
        assert null == (value[0] == b"null" and not value[1])


def test_moments_beyond_python_are_text_without_loss(tmp_path: Path) -> None:
    table = pa.table(
        {
            "ns": pa.array(
                [1_600_000_000_123_456_789, 1_600_000_000_123_456_000], pa.timestamp("ns")
            ),
            "far": pa.array([10**13, 0], pa.timestamp("s")),
        }
    )
    write_file(table, tmp_path / "a.arrow")
    first, second = read_all(read_arrow, tmp_path / "a.arrow")
    assert first == {"ns": "2020-09-13T12:26:40.123456789", "far": "318857-05-20T17:46:40"}
    assert second["ns"] == datetime.datetime(2020, 9, 13, 12, 26, 40, 123456)


def test_a_damaged_row_group_costs_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    noise = np.random.default_rng(1)
    texts = [noise.bytes(40).hex() for _ in range(300)]
    table = pa.table({"text": texts, "other": texts[::-1]})
    pq.write_table(table, path, row_group_size=100, compression="zstd", use_dictionary=False)
    places = pq.ParquetFile(path).metadata.row_group(1)
    data = bytearray(path.read_bytes())
    for number in range(places.num_columns):
        start = places.column(number).data_page_offset
        data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    rows = read_all(read_parquet, path)
    assert [row["text"] for row in rows if isinstance(row, dict)] == texts[:100] + texts[200:]
    (lost,) = (row for row in rows if isinstance(row, Malformed))
    assert "row group 2" in lost.detail
    assert "100 records" in lost.detail


def test_a_damaged_column_costs_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    noise = np.random.default_rng(1)
    texts = [noise.bytes(40).hex() for _ in range(300)]
    table = pa.table({"other": texts[::-1], "text": texts})
    pq.write_table(table, path, row_group_size=100, compression="zstd", use_dictionary=False)
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = bytes(40)
    path.write_bytes(data)
    rows = read_all(read_parquet, path)
    assert [row["text"] for row in rows] == texts
    assert {type(row["other"]) for row in rows[100:200]} == {Unreadable}
    assert [row["other"] for row in rows[200:]] == texts[::-1][200:]


@pytest.mark.parametrize("read", [read_parquet, read_arrow])
def test_blocks_of_wide_rows_are_small(tmp_path: Path, read: Callable) -> None:
    path = tmp_path / "wide"
    table = pa.table({"text": [str(n) for n in range(60)], "html": ["x" * 1_000_000] * 60})
    if read is read_parquet:
        pq.write_table(table, path)
    else:
        write_file(table, path)
    blocks = list(read(source(path)))
    assert [row["text"] for block in blocks for row in block] == [str(n) for n in range(60)]
    assert max(map(len, blocks)) <= 4


def test_only_the_wanted_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "html": ["b"], "url": ["c"]}), path)
    unit = source(path)
    for fields, expected in (
        (("text", "url", "missing"), {"text": "a", "url": "c"}),
        (("content",), {"text": "a", "html": "b", "url": "c"}),
    ):
        chosen = replace(unit, file=replace(unit.file, fields=fields))
        assert list(read_parquet(chosen)) == [[expected]]


def is_damaged(row: dict[str, Any]) -> bool:
    return any(isinstance(value, Unreadable) for value in row.values())


@pytest.mark.parametrize("meta", [{"n": 1}, {"n": [1, 2]}, [{"n": {"m": "a"}}]])
def test_wrong_lengths_are_damage_or_values_that_cannot_be_read(tmp_path: Path, meta: Any) -> None:
    # No other number in the file is so large.
    rows = 12_345
    table = pa.Table.from_pylist([{"text": "a", "meta": meta}] * rows)
    path = tmp_path / "a.arrow"
    write_file(table, path)
    whole = path.read_bytes()
    length = struct.pack("<q", rows)
    places = [match.start() for match in re.finditer(re.escape(length), whole)]
    lost = 0
    for place in places:
        changed = struct.pack("<q", 7)
        path.write_bytes(whole[:place] + changed + whole[place + len(changed) :])
        try:
            found = read_all(read_arrow, path)
        except DamagedFile:
            found = [Malformed("the file")]
        assert len(found) in {1, 7, rows}
        assert all(
            row == {"text": "a", "meta": meta}
            for row in found
            if isinstance(row, dict) and not is_damaged(row)
        )
        lost += any(not isinstance(row, dict) or is_damaged(row) for row in found)
    assert len(places) > 3
    assert lost


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("write", "read"),
    [(write_file, read_arrow), (write_stream, read_arrow), (pq.write_table, read_parquet)],
)
def test_names_that_are_not_utf8_are_damage(
    tmp_path: Path, nested: bool, write: Callable, read: Callable
) -> None:
    row = {"text": "a", "meta": {"name": 1}} if nested else {"text": "a", "name": 1}
    write(pa.Table.from_pylist([row]), tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(data.replace(b"name", b"na\xffe"))
    with pytest.raises(DamagedFile, match="not readable"):
        read_all(read, tmp_path / "file")
