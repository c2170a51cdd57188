"""Two runs compared: their losses by domain, and their learning curves."""

from __future__ import annotations

import math
import re
from pathlib import Path

import duckdb
import pytest

from mixscale.contracts.run_record import CurvePoint, write_record
from mixscale.shards.sql.index import open_index
from tests.shards.small_shardsets import make_runs, make_shardset

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "sql.md"
CALLS = re.findall(r"```sql\n(FROM \w+_difference\(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def index(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """Two runs: one evaluated at 3000 and 6000 tokens, the other at 2000, 5000 and 9000."""
    make_shardset(tmp_path)
    base, more, _ = make_runs(tmp_path)
    points = ((2000, 5.0), (5000, 2.0), (9000, 1.0))
    curve = tuple(CurvePoint(tokens=at, losses={"arxiv": loss}) for at, loss in points)
    write_record(tmp_path / "runs" / more.run_id, more.model_copy(update={"learning_curve": curve}))
    assert base.run_id == "demo-base"
    return open_index(tmp_path)


def test_losses_by_domain(index: duckdb.DuckDBPyConnection) -> None:
    rows = index.execute(
        "SELECT domain, difference_nats, standard_error FROM run_difference('demo-base', "
        "'demo-more')"
    ).fetchall()
    domains = index.execute("SELECT DISTINCT domain FROM domains ORDER BY 1").fetchall()
    assert [(row[0],) for row in rows] == domains
    for _, difference, error in rows:
        assert difference == pytest.approx(-0.5)
        assert error == pytest.approx(math.sqrt(2) * 0.01)


def test_curves_where_they_overlap(index: duckdb.DuckDBPyConnection) -> None:
    (first,) = index.execute(
        "SELECT loss_nats FROM learning_curves WHERE run_id = 'demo-base' AND domain = 'arxiv' "
        "AND tokens = 3000"
    ).fetchone() or (math.nan,)
    rows = index.execute(
        "SELECT tokens, first_loss_nats, second_loss_nats, difference_nats "
        "FROM curve_difference('demo-base', 'demo-more')"
    ).fetchall()
    # The base falls by 1 from 3000 to 6000; the other by 1 each 1000 to 5000, then by 1/4.
    expected = {3000: (first, 4.0), 5000: (first - 2 / 3, 2.0), 6000: (first - 1, 1.75)}
    assert [row[0] for row in rows] == list(expected)
    for tokens, one, other, difference in rows:
        assert (one, other) == pytest.approx(expected[tokens])
        assert difference == pytest.approx(other - one)


def test_a_run_does_not_differ_from_itself(index: duckdb.DuckDBPyConnection) -> None:
    for macro in ("run_difference", "curve_difference"):
        rows = index.execute(
            f"SELECT DISTINCT difference_nats FROM {macro}('demo-more', 'demo-more')"
        ).fetchall()
        assert rows == [(0.0,)]


@pytest.mark.parametrize("call", CALLS)
def test_the_examples_of_the_page_answer(index: duckdb.DuckDBPyConnection, call: str) -> None:
    assert index.execute(call).fetchall()


def test_there_are_examples() -> None:
    assert len(CALLS) == 3
