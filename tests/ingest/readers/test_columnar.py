import datetime
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard

from mixscale.ingest.readers.columnar import arrow_blocks, parquet_blocks
from mixscale.ingest.readers.faults import Fault
from mixscale.ingest.readers.sources import SourceFile

TABLE = pa.table(
    {
        "text": [f"text {n}" for n in range(1300)],
        "meta": [{"language": "en", "n": n} for n in range(1300)],
        "day": [datetime.date(2020, 1, 1)] * 1300,
    }
)


def source(path: Path, compression: str | None = None) -> SourceFile:
    return SourceFile(
        address=str(path),
        name=path.name,
        format="",
        compression=compression,
        size=0,
        version="",
        domain="d",
    )


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


def write_file(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (lambda table, path: pq.write_table(table, path, row_group_size=200), parquet_blocks),
        (write_stream, arrow_blocks),
        (write_file, arrow_blocks),
        (lambda table, path: pyarrow.feather.write_feather(table, str(path)), arrow_blocks),
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
    (first, second, third) = next(iter(arrow_blocks(source(tmp_path / "a.arrow"))))
    assert (first, third) == ({"text": "good"}, {"text": "fine"})
    assert second == Fault("not UTF-8 in a field")
