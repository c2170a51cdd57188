"""Queries of reference/sql.md and how-to/recipe.md answer with the columns that are shown."""

from __future__ import annotations

import re
import shlex

import pytest

from mixscale.shards.sql.index import open_index
from tests.docs.blocks import ROOT, Block, blocks, commands
from tests.docs.folders import Made

PAGES = (ROOT / "docs" / "reference" / "sql.md", ROOT / "docs" / "how-to" / "recipe.md")
LANGUAGES = ("console", "sql")
QUERIES = [block for page in PAGES for block in blocks(page) if block.language in LANGUAGES]


def query_of(block: Block) -> str:
    if block.language == "sql":
        return block.body
    (command,) = commands(block)
    return shlex.split(command)[3]


def shown_columns(block: Block) -> list[str]:
    """The heads of the table below a query."""
    rows = [line for line in block.body.splitlines() if line.startswith("┃")]
    return [name.strip() for name in rows[0].strip("┃").split("┃")] if rows else []


@pytest.mark.parametrize("block", [pytest.param(block, id=block.where) for block in QUERIES])
def test_a_query_answers_with_the_columns_that_are_shown(block: Block, made: Made) -> None:
    folder, _ = made["trained"]
    answer = open_index(folder / "shardset").execute(query_of(block))
    columns = [one[0] for one in answer.description or ()]
    if block.language == "console":
        assert shown_columns(block) == columns


def test_every_view_is_shown_with_a_query() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert [one.splitlines()[0] for one in sections if "```" not in one] == []
