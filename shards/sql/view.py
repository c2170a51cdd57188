"""What a view and a table macro consist of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class View:
    """A view: what a row is, its columns, its SQL."""

    row: str
    """What a row is, to be read after \"A row is\"."""
    columns: dict[str, str]
    """What each column means, with its unit, in the order of the SQL."""
    sql: str
    """With `$name` for file patterns (`mixscale.shards.sql.file_patterns`); a `$` is `$$`."""


@dataclass(frozen=True, kw_only=True)
class Macro:
    """A table macro: what it answers, its parameters, its columns, its SQL."""

    answers: str
    parameters: tuple[str, ...]
    columns: dict[str, str]
    """What each column means, with its unit, in the order of the SQL."""
    sql: str
