from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from mixscale.contracts.errors import UserError
from mixscale.shards.sql.examples import EXAMPLES
from mixscale.shards.sql.index import open_index
from mixscale.shards.sql.query import query_arrow, run_sql

WRITES = [
    "COPY (SELECT 1) TO '{folder}/x.csv'",
    "WITH a AS (COPY (SELECT 1) TO '{folder}/x.csv') FROM a",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/x.csv'",
    "EXPLAIN ANALYZE WITH a AS (COPY (SELECT 1) TO '{folder}/x.csv') FROM a",
    "EXPLAIN ANALYZE (WITH a AS (COPY (SELECT 1 x) TO '{folder}/x.csv' /*) SELECT 1 --*/) FROM a)",
    "/* EXPLAIN */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/x.csv'",
    "WITH a AS (COPY (SELECT 1) TO '{folder}/x.csv') PIVOT domains ON split USING sum(tokens)",
    "PREPARE q AS COPY (SELECT 1) TO '{folder}/x.csv'",
    "EXPORT DATABASE '{folder}/x'",
    "ATTACH '{folder}/x.duckdb'",
    "ATTACH '{folder}/index.duckdb' AS stored",
    "INSERT INTO runs VALUES (1)",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW domains AS SELECT 1",
    "DROP VIEW domains",
    "UPDATE runs SET seed = 1",
    "DELETE FROM runs",
    "MERGE INTO runs USING sweeps ON true WHEN MATCHED THEN DELETE",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "PRAGMA enable_profiling = 'json'",
    "CALL enable_logging(storage = 'file', storage_path = '{folder}/log')",
    "INSTALL httpfs",
    "LOAD '{folder}/x.duckdb_extension'",
    "CHECKPOINT",
    "IMPORT DATABASE '{folder}'",
]


REFUSED = (
    "refused; queries here can only read|Permission Error|PIVOT: list its values"
    r'|Parser Error: syntax error at or near "\("'
)


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("query", WRITES)
def test_nothing_can_be_written(query: str, copied: Path) -> None:
    before = snapshot(copied)
    with pytest.raises(UserError, match=REFUSED):
        run_sql(copied, query.format(folder=copied))
    assert snapshot(copied) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "SELECT 1;",
        "-- a remark\nSELECT 1 -- another",
        "FROM domains",
        "WITH a AS (SELECT 1) FROM a",
        "VALUES (1), (2)",
        "DESCRIBE domains",
        "SUMMARIZE domains",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "explain analyze SELECT 1",
        "PIVOT documents ON status IN ('kept', 'duplicate') USING count(*) GROUP BY domain",
        "SELECT * FROM query('SELECT 1')",
        "(SELECT 1) UNION ALL (SELECT 2)",
    ],
)
def test_reading_is_allowed(query: str, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_sql(made, query) > 0
    assert "row" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("COPY (SELECT 1) TO 'x'", "COPY: refused; queries here can only read"),
        ("WITH a AS (COPY (SELECT 1) TO 'x') FROM a", "Permission Error|COPY_TO_FILE: refused"),
        ("SELECT 1; SELECT 2", "expected one SQL statement, found 2"),
        ("", "expected one SQL statement, found 0"),
        ("SELECT FROM", r"syntax error at or near|SELECT clause without selection list"),
        ("FROM domainz", r'(?s)Did you mean "domains".*LINE 1: FROM domainz.*Tables: .*domains, '),
        ("FROM nowhere", r"Tables: shardset, streams, shards, documents, domains"),
        (
            "SELECT token FROM domains",
            r"(?s)LINE 1: SELECT token.*Columns of domains: .*tokens, samples",
        ),
        ("SELECT d.x\nFROM domains d", r"(?s)LINE 1: .*Columns of domains: "),
        ("SELECT 1,\n x FROM domains", r"LINE 2: "),
        ("FROM sample_documents(1)", r"documents_in_sample\(of_domain, of_split, of_sample\)"),
        ("PIVOT domains ON split", "PIVOT: list its values"),
        ("FROM read_text('/etc/hostname')", "file system operations are disabled"),
    ],
)
def test_messages_help(query: str, message: str, made: Path) -> None:
    with pytest.raises(UserError, match=message):
        run_sql(made, query)


def test_a_damaged_record_is_named(copied: Path) -> None:
    (copied / "runs" / "demo-base" / "result.json").write_text('{"run_id": "x"')
    with pytest.raises(UserError, match=r"demo-base/result\.json"):
        run_sql(copied, "FROM runs")


def test_table_rows_are_whole_lines_in_a_pipe(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_sql(made, "SELECT repeat('x', 500) AS wide, NULL AS n, '[red]' AS r, 0.1 AS f") == 1
    out = capsys.readouterr().out
    assert "x" * 500 in out
    assert "[red]" in out
    assert out.endswith("1 row\n")


def test_csv(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT domain, split, tokens, ['a,\"b', NULL] AS listed FROM domains"
    assert run_sql(made, query, format="csv") == 9
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    expected = open_index(made).execute(query).fetchall()
    assert [(r["domain"], r["split"] or None, int(r["tokens"])) for r in rows] == [
        row[:3] for row in expected
    ]
    assert json.loads(rows[0]["listed"]) == ['a,"b', None]


def test_json_keeps_structure(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = """
        SELECT meta, {'a': [1, NULL]} AS s, 'nan'::DOUBLE AS n, DATE '2026-01-02' AS d,
               1::HUGEINT << 70 AS h
        FROM documents WHERE status = 'kept' LIMIT 2"""
    assert run_sql(made, query, format="json") == 2
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["meta"]["language"] == "en"
    assert rows[0]["s"] == {"a": [1, None]}
    assert rows[0]["n"] is None
    assert rows[0]["d"] == "2026-01-02"
    assert rows[0]["h"] == 1 << 70


def test_no_rows_are_valid_output(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_sql(made, "FROM runs WHERE false", format="json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run_sql(made, "SELECT run_id FROM runs WHERE false", format="csv") == 0
    assert capsys.readouterr().out == "run_id\n"


def test_parquet(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "domains.parquet"
    assert run_sql(made, "FROM domains", format="parquet", output=output) == 9
    table = pq.read_table(output)
    expected = open_index(made).execute("FROM domains").fetchall()
    assert [tuple(row.values()) for row in table.to_pylist()] == expected


def test_arrow(made: Path) -> None:
    table = query_arrow(made, "SELECT domain, tokens FROM domains WHERE split = 'train'")
    expected = open_index(made).execute("SELECT domain, tokens FROM domains WHERE split = 'train'")
    assert [tuple(row.values()) for row in table.to_pylist()] == expected.fetchall()
    assert table.column_names == ["domain", "tokens"]


@pytest.mark.parametrize("query", ["COPY (SELECT 1) TO 'x'", "FROM nowhere", "SELECT 1; SELECT 2"])
def test_arrow_refuses_what_a_query_refuses(query: str, made: Path) -> None:
    with pytest.raises(UserError, match=r"COPY: refused|Tables: shardset|expected one SQL"):
        query_arrow(made, query)


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_output_files_hold_what_is_printed(
    format: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answer"
    run_sql(made, "FROM streams", format=format, output=output)  # pyright: ignore[reportArgumentType]
    assert capsys.readouterr().out == ""
    run_sql(made, "FROM streams", format=format)  # pyright: ignore[reportArgumentType]
    assert capsys.readouterr().out == output.read_text()


def test_a_failed_query_leaves_no_file(made: Path, tmp_path: Path) -> None:
    for format in ("csv", "json", "parquet"):
        with pytest.raises(UserError, match="Conversion Error"):
            run_sql(
                made,
                "SELECT CAST(doc_id AS INTEGER) FROM documents",
                format=format,
                output=tmp_path / "answer",
            )
    assert list(tmp_path.iterdir()) == []


def test_columns_named_twice_are_refused_where_they_would_be_lost(
    made: Path, tmp_path: Path
) -> None:
    for format in ("json", "parquet"):
        with pytest.raises(UserError, match="columns named twice: a; give each its own AS name"):
            run_sql(made, "SELECT 1 AS a, 2 AS a", format=format, output=tmp_path / "x")


def test_formats_are_checked(made: Path) -> None:
    with pytest.raises(UserError, match=r"format: unknown value 'xml'.*'csv'"):
        run_sql(made, "SELECT 1", format="xml")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="name a file to write with --output"):
        run_sql(made, "SELECT 1", format="parquet")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_answer_on_real_text(
    name: str, real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run_sql(real, EXAMPLES[name].sql, format="json")
    # Every record of this corpus can be read.
    assert (rows > 0) == (name != "rejects")
    assert len(json.loads(capsys.readouterr().out)) == rows


def test_real_text_reconciles_with_its_manifest(real: Path, shared: Path) -> None:
    manifest = json.loads((shared / "corpus" / "redpajama-mini" / "manifest.json").read_text())
    with open_index(real) as index:
        found = dict(
            index.execute("SELECT source_file, count(*) FROM documents GROUP BY ALL").fetchall()
        )
        assert found == {
            path: file["documents"]
            for path, file in manifest["files"].items()
            if path.split("/")[0] in ("github", "stackexchange", "wikipedia")
        }
        duplicates = index.execute("SELECT count(*) FROM duplicates WHERE kept_row IS NULL")
        assert duplicates.fetchall() == [(0,)]


def test_the_raw_connection_says_what_is_wrong(made: Path) -> None:
    with open_index(made) as index, pytest.raises(duckdb.CatalogException, match="domainz"):
        index.execute("FROM domainz")
