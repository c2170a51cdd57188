import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from mixscale.shards.sql.result_formats import WRITERS

NESTED = """
SELECT [1.10::DECIMAL(10, 2), 2] AS decimals,
       {'day': DATE '2020-01-02', 'at': TIMESTAMP '2020-01-02 03:04:05'} AS dates,
       MAP {1: 'a'} AS pairs, [1, 2]::INTEGER[2] AS fixed, 0.1::DECIMAL(30, 20) AS exact,
       170141183460469231731687303715884105727::HUGEINT AS huge, 'é' AS text,
       ['nan'::DOUBLE, 'inf'::DOUBLE] AS none, [{'a': NULL}] AS inside
"""


def write(query: str, format: str) -> str:
    stream = io.StringIO()
    WRITERS[format](duckdb.connect().execute(query), stream)
    return stream.getvalue()


def test_json_has_numbers_for_numbers() -> None:
    (row,) = json.loads(write(NESTED, "json"), parse_float=Decimal)
    assert row == {
        "decimals": [Decimal("1.10"), Decimal("2.00")],
        "dates": {"day": "2020-01-02", "at": "2020-01-02 03:04:05"},
        "pairs": {"1": "a"},
        "fixed": [1, 2],
        "exact": Decimal("0.1"),
        "huge": 2**127 - 1,
        "text": "é",
        "none": [None, None],
        "inside": [{"a": None}],
    }


def test_csv_has_json_for_what_is_nested() -> None:
    (row,) = csv.DictReader(io.StringIO(write(NESTED, "csv")))
    assert json.loads(row["decimals"]) == [1.1, 2.0]
    assert json.loads(row["dates"]) == {"day": "2020-01-02", "at": "2020-01-02 03:04:05"}
    assert json.loads(row["pairs"]) == {"1": "a"}
    assert row["exact"] == "0.10000000000000000000"


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "a\\[b]", ":warning:", "[link=x]", "\\"])
def test_tables_show_text_as_it_is(text: str) -> None:
    table = write(f"SELECT '{text}' AS \"{text}\"", "table")
    assert table.count(text) == 2


@pytest.mark.parametrize(
    "query", ["-- a comment\nSELECT 41 + 1 AS n", "--comment\nSELECT 42", "/* a */ SELECT 42"]
)
def test_a_query_may_start_with_a_comment(made: Path, query: str) -> None:
    from click.testing import CliRunner

    from mixscale.cli.main import cli

    for arguments in ([query, "--format", "csv"], ["--format=csv", query]):
        result = CliRunner().invoke(cli, ["sql", str(made), *arguments])
        assert result.exit_code == 0, result.output
        assert result.output.splitlines()[1] == "42"
    assert CliRunner().invoke(cli, ["sql", str(made), "--fromat", "csv"]).exit_code == 2


@pytest.mark.parametrize("text", ["a\\b", 'e"f', "[x]", "c\\\\d"])
def test_tables_show_text_in_lists_as_it_is(text: str) -> None:
    query = f"SELECT ['{text}', NULL] AS l, {{'k': ['{text}'], 'n': 1.50::DECIMAL(4, 2)}} AS s"
    table = write(query, "table")
    assert f"['{text}', NULL]" in table
    assert f"{{'k': ['{text}'], 'n': 1.50}}" in table


def test_tables_show_days_and_numbers_in_structs_plainly() -> None:
    table = write(
        "SELECT {'d': DATE '2024-01-02', 'x': MAP {'k': 1.25::DECIMAL(5, 2)}} AS s", "table"
    )
    assert "{'d': 2024-01-02, 'x': {'k': 1.25}}" in table


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_bytes_are_written_as_duckdb_does(format: str) -> None:
    text = write("SELECT 'a\\xAA\\x00z'::BLOB AS b, ['\\xFF'::BLOB] AS l", format)
    shown = text.replace("\\\\", "\\")
    assert "a\\xAA\\x00z" in shown
    assert "\\xFF" in shown
    assert "b'" not in shown
