from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import read_shardset
from mixscale.shards.sql.domain_table import as_json, domain_table, render
from mixscale.shards.sql.index import open_index


def test_rows_are_the_streams_then_what_was_not_kept(made: Path) -> None:
    rows = domain_table(made)
    domains = read_shardset(made).domain_names
    assert [(row.domain, row.split) for row in rows] == [
        (domain, split) for domain in domains for split in ("train", "validation", None)
    ]
    for row in rows:
        assert row.records == row.documents + row.duplicates + row.rejects
        assert (row.documents > 0) == (row.split is not None)


def test_json_is_the_rows(made: Path) -> None:
    found = json.loads(json.dumps(as_json(domain_table(made))))
    with open_index(made) as index:
        result = index.execute("FROM domains")
        names = [column[0] for column in result.description or ()]
        assert found == [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    assert len(found) == 9


def test_the_table_shows_shares_and_totals(made: Path) -> None:
    rows = domain_table(made)
    stream = io.StringIO()
    Console(file=stream, width=200).print(render(rows))
    lines = [line.split() for line in stream.getvalue().splitlines()]
    train = [row.tokens for row in rows if row.split == "train"]
    assert f"{train[0] / sum(train):.1%}" in lines[1]
    total = next(line for line in lines if line and line[0] == "total")
    assert total[1] == str(sum(row.records for row in rows))
    assert f"{sum(row.tokens for row in rows):,}" in total


def test_real_text(real: Path) -> None:
    rows = {(row.domain, row.split): row for row in domain_table(real)}
    # The counts of the corpus's own README.
    assert sum(row.records for key, row in rows.items() if key[0] == "wikipedia") == 368
    assert rows["wikipedia", None].rejects == 13
    assert rows["stackexchange", None].duplicates == 25
    assert rows["stackexchange", None].rejects == 0


def test_what_is_no_shard_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a finished shard set"):
        domain_table(tmp_path)
