"""DuckDB's complaints about a query, with the names that could have been meant."""

from __future__ import annotations

import re

import duckdb

from mixscale.contracts.errors import UserError
from mixscale.shards.sql.macros import MACROS
from mixscale.shards.sql.views import VIEWS


def query_error(error: duckdb.Error, query: str) -> UserError:
    """Turn DuckDB's complaint into ours, with the names that could have been meant."""
    message = str(error).strip()
    if re.search(r"Table with name \S+ does not exist", message):
        return UserError(f"{message}\nTables: {', '.join(VIEWS)}")
    if "Function with name" in message:
        calls = (f"{name}({', '.join(macro.parameters)})" for name, macro in MACROS.items())
        return UserError(f"{message}\nMacros of the index: {', '.join(calls)}")
    if isinstance(error, duckdb.BinderException) and "column" in message.lower():
        used = [name for name in VIEWS if re.search(rf"\b{name}\b", query, re.IGNORECASE)]
        columns = (f"Columns of {name}: {', '.join(VIEWS[name].columns)}" for name in used)
        return UserError("\n".join([message, *columns]))
    return UserError(message)
