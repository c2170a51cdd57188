"""What runs reach in SQL: named metrics, their items, two runs compared item by item."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest
from scipy import stats

from mixscale.contracts.evaluation import items_path
from mixscale.shards.sql.index import open_index
from tests.shards.small_shardsets import answers, make_runs, make_shardset


@pytest.fixture
def made(tmp_path: Path) -> Path:
    make_shardset(tmp_path)
    make_runs(tmp_path)
    return tmp_path


@pytest.fixture
def index(made: Path) -> duckdb.DuckDBPyConnection:
    return open_index(made)


def test_domains_and_tasks_are_named_alike(index: duckdb.DuckDBPyConnection) -> None:
    rows = index.execute(
        "SELECT name, unit, higher_is_better, round(value, 6) FROM evaluations "
        "WHERE run_id = 'demo-base' AND task IN ('arxiv', 'quiz') ORDER BY name"
    ).fetchall()
    assert rows == [
        ("acc:quiz", "fraction", True, round(float(np.mean(answers("demo-base"))), 6)),
        ("bpb:arxiv", "bits per byte", False, round(3 / np.log(2) / 4, 6)),
        ("loss:arxiv", "nats", False, 3.0),
        ("ppl:arxiv", "perplexity", False, round(float(np.exp(3)), 6)),
    ]


def test_a_record_without_tasks_has_its_domains(made: Path) -> None:
    """As those of earlier versions."""
    path = made / "runs" / "demo-base" / "result.json"
    start, _, rest = path.read_text().partition('"evaluations": [')
    path.write_text(start + rest.partition("],\n  ")[2])
    found = open_index(made).execute(
        "SELECT count(*), count(*) FILTER (task = 'quiz') FROM evaluations "
        "WHERE run_id = 'demo-base'"
    )
    assert found.fetchone() == (9, 0)


def test_differences_are_those_of_pairs(index: duckdb.DuckDBPyConnection) -> None:
    rows = index.execute(
        "SELECT difference, standard_error, shared_items "
        "FROM evaluation_difference('demo-base', 'demo-more') WHERE name = 'acc:quiz'"
    ).fetchall()
    first, second = (np.array(answers(name)) for name in ("demo-base", "demo-more"))
    assert set(first - second) != {0.0}
    ((difference, error, shared),) = rows
    assert difference == pytest.approx((second - first).mean())
    assert error == pytest.approx(stats.sem(second - first))
    assert shared == 12
    (loss,) = index.execute(
        "SELECT standard_error, shared_items "
        "FROM evaluation_difference('demo-base', 'demo-more') WHERE name = 'loss:arxiv'"
    ).fetchall()
    assert loss == (pytest.approx(np.sqrt(2) * 0.01), None)


def test_items_that_were_asked_otherwise_are_left_out(made: Path) -> None:
    run = made / "runs" / "demo-base"
    path = items_path(run, "quiz", "0123456789ab")
    path.with_name("quiz-ba9876543210.parquet").write_bytes(path.read_bytes())
    path.with_name(".tmp-1-quiz-0123456789ab.parquet").write_bytes(b"half written")
    found = open_index(made).execute(
        "SELECT run_id, count(*) FROM evaluation_items GROUP BY ALL ORDER BY ALL"
    )
    assert found.fetchall() == [("demo-base", 12), ("demo-more", 12)]
