"""Refuses SQL that does more than read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import duckdb

from mixscale.contracts.errors import UserError
from mixscale.shards.sql.query_errors import query_error

# Operators that change something. A SELECT can hold them: WITH x AS (COPY ... TO 'file') is one.
_CHANGES = re.compile(r"COPY|INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|DROP|ATTACH|EXPORT|VACUUM")
# Nothing but these words before the query, so that what is checked is what will run.
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?(?=\w)", re.IGNORECASE)


def check_read_only(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse everything but one statement that only reads.

    DuckDB's own settings lock what a connection can reach, but let `COPY ... TO` write wherever
    it may read. The plan of a statement shows every operator in it, however deeply it is nested.

    Raises:
        UserError: The query is wrong, changes something, or is not exactly one statement.
    """
    try:
        statement = _only_statement(connection, query)
        if statement.type == duckdb.StatementType.EXPLAIN:
            # EXPLAIN ANALYZE runs what it explains.
            explained = _EXPLAIN.match(query)
            statement = _only_statement(connection, query[explained.end() if explained else 0 :])
    except duckdb.Error as error:
        raise query_error(error, query) from error
    if statement.type == duckdb.StatementType.MULTI:
        raise UserError("PIVOT: list its values, PIVOT ... ON column IN (...)")
    if statement.type != duckdb.StatementType.SELECT:
        raise UserError(f"{statement.type.name}: refused; queries here can only read")
    for operator in _plan_operators(connection, statement.query):
        if _CHANGES.search(operator):
            raise UserError(f"{operator}: refused; queries here can only read")


def _plan_operators(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[str]:
    """Name the operators of a query's plan."""
    try:
        plan = connection.execute(f"EXPLAIN (FORMAT json)\n{query}").fetchall()
    except duckdb.Error as error:
        lines = re.sub(r"(?m)^LINE (\d+)", lambda at: f"LINE {int(at[1]) - 1}", str(error))
        raise query_error(type(error)(lines), query) from error
    nodes = json.loads(plan[0][1])
    while nodes:
        node = nodes.pop()
        yield node["name"]
        nodes.extend(node["children"])


def _only_statement(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise UserError(f"expected one SQL statement, found {len(statements)}")
    return statements[0]
