import datetime
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard

from mixscale.ingest.readers.arrow import read_arrow
from mixscale.ingest.readers.malformed import Malformed
from mixscale.ingest.readers.parquet import read_parquet
from mixscale.ingest.readers.source_file import SourceFile, Unit

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
    assert second == Malformed("not UTF-8 in a field")
