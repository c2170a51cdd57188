"""The recipe of the documentation: a new view answers, is described, and remakes a stale index."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from mixscale.shards.sql.index import is_current, open_index
from mixscale.shards.sql.prompt import SqlCompleter
from mixscale.shards.sql.view import View
from mixscale.shards.sql.views import VIEWS

RECIPE = Path(__file__).parents[3] / "docs" / "extending.md"


def test_the_recipe_for_a_view(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(
        r"`shards/sql/views/runs\.py`:\n\n```python\n(.*?)```", RECIPE.read_text(), re.S
    )
    assert code is not None
    added: dict[str, View] = {}
    exec(code[1], {"View": View, "VIEWS": added})
    record = copied / "runs" / "demo-base" / "result.json"
    text = record.read_text()
    assert '"unique_tokens": 3000' in text
    record.write_text(text.replace('"unique_tokens": 3000', '"unique_tokens": 1000', 1))
    assert is_current(copied)

    monkeypatch.setitem(VIEWS, "repeats", added["repeats"])
    assert not is_current(copied)
    with open_index(copied) as index:
        found = index.execute("FROM repeats").fetchall()
        names = [column[0] for column in index.description or ()]
    assert found == [("demo-base", "arxiv", 2000)]
    assert names == list(added["repeats"].columns)
    assert is_current(copied)
    with duckdb.connect(str(copied / "index.duckdb"), read_only=True) as stored:
        comment = stored.execute(
            "SELECT comment FROM duckdb_columns() WHERE column_name = 'repeated_tokens'"
        ).fetchall()
    assert comment == [("training tokens that the run had seen before",)]
    words = SqlCompleter().get_completions(Document("FROM repe"), CompleteEvent())
    assert "repeats" in [word.text for word in words]
