"""Tables of any kind give the same columns."""

from __future__ import annotations

from pathlib import Path

import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pytest

from mixscale.api.frames import read_frame
from mixscale.api.rows import Rows
from mixscale.contracts.errors import UserError

COLUMNS = {"run": ["a", "b"], "web": [0.25, 0.5], "code": [0.75, 0.5]}
ROWS = [{"run": "a", "web": 0.25, "code": 0.75}, {"run": "b", "web": 0.5, "code": 0.5}]


@pytest.mark.parametrize(
    "frame",
    [
        COLUMNS,
        ROWS,
        pa.table(COLUMNS),
        pandas.DataFrame(COLUMNS),
        pandas.DataFrame(COLUMNS).set_index("run"),
        pandas.DataFrame({n: [None, *c] for n, c in COLUMNS.items()}).iloc[1:],
        polars.DataFrame(COLUMNS),
        Rows.of(ROWS),
    ],
    ids=["mapping", "rows", "arrow", "pandas", "pandas-index", "pandas-cut", "polars", "Rows"],
)
def test_every_kind_of_frame_is_read(frame: object) -> None:
    assert read_frame(frame, "mixtures") == COLUMNS


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_are_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table.{ending}"
    frame = polars.DataFrame(COLUMNS)
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    assert read_frame(path, "mixtures") == read_frame(str(path), "mixtures") == COLUMNS


def test_one_mixture_is_one_row() -> None:
    assert read_frame({"web": 0.25, "code": 0.75}, "mixtures") == {"web": [0.25], "code": [0.75]}


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (3, "losses: int is no table; give a path to CSV or Parquet"),
        ([1, 2], "losses: list is no table"),
        ([], "losses: the table has no rows"),
        (pa.table({"web": pa.array([], pa.float64())}), "losses: the table has no rows"),
        ({"web": [1.0, 2.0], "code": [1.0]}, r"losses: the columns differ in length: \[1, 2\]"),
    ],
)
def test_what_is_no_table_is_refused(frame: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_frame(frame, "losses")


def test_rows_are_shown_and_handed_on() -> None:
    rows = Rows.of({"domain": f"<{i}>", "share": i / 100} for i in range(30))
    assert len(rows) == 30
    assert rows.rows()[29] == {"domain": "<29>", "share": 0.29}
    assert polars.DataFrame(rows).equals(rows.pl())
    assert rows.df()["share"].tolist() == rows.arrow().column("share").to_pylist()
    assert "<td>&lt;19&gt;</td><td>0.19</td>" in rows._repr_html_()
    assert "… and 10 more rows" in rows._repr_html_()
    assert repr(rows).splitlines()[-1] == "… and 10 more rows"
