"""The SQL statements that make an index of its views and macros."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from string import Template

from mixscale.shards.sql.documents import DOCUMENTS
from mixscale.shards.sql.file_patterns import file_patterns
from mixscale.shards.sql.macros import MACROS
from mixscale.shards.sql.quoting import identifier, literal
from mixscale.shards.sql.views import VIEWS

CREATE_INFO = """
CREATE TABLE index_info (
    definitions_sha256 VARCHAR NOT NULL, -- of the views and macros that the index holds
    content_sha256 VARCHAR NOT NULL -- of the shard set it was made for
)"""
INSERT_INFO = "INSERT INTO index_info VALUES (?, ?)"
SELECT_INFO = "SELECT definitions_sha256, content_sha256 FROM index_info"


def create_views(patterns: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of every view with the statement that makes it.

    Args:
        patterns: The SQL that stands for each `$name` in the views.
    """
    for name, view in VIEWS.items():
        yield name, f"CREATE VIEW {name} AS {Template(view.sql).substitute(patterns)}"


def create_broken_view(name: str, message: str) -> str:
    """Write the statement that makes a view which only says why it cannot be read."""
    columns = ", ".join(f"NULL AS {identifier(column)}" for column in VIEWS[name].columns)
    return f"CREATE VIEW {name} AS SELECT {columns} WHERE error({literal(message)}) IS NULL"


def create_macros() -> Iterator[str]:
    """Yield the statements that make the macros, once there are views."""
    for name, macro in MACROS.items():
        yield f"CREATE MACRO {name}({', '.join(macro.parameters)}) AS TABLE {macro.sql}"


def comments() -> Iterator[str]:
    """Yield the statements that write into the database what its views and columns mean."""
    for name, view in VIEWS.items():
        yield f"COMMENT ON VIEW {name} IS {literal(view.row)}"
        for column, meaning in view.columns.items():
            yield f"COMMENT ON COLUMN {name}.{identifier(column)} IS {literal(meaning)}"


def read_documents(pattern: str) -> str:
    """Write the SQL that reads the Parquet files of the documents table."""
    return f"read_parquet({pattern})"


def no_documents() -> str:
    """Write the SQL that stands for the Parquet files when there is none."""
    types = {"string": "VARCHAR", "uint64": "UBIGINT", "uint32": "UINTEGER"}
    columns = (f"NULL::{types[str(field.type)]} AS {field.name}" for field in DOCUMENTS)
    return f"(SELECT {', '.join(columns)} WHERE false)"


def definitions_sha256() -> str:
    """Hash the views and macros: an index that holds others is stale."""
    definitions = [*VIEWS.items(), *MACROS.items(), file_patterns(None, None)]
    return hashlib.sha256(repr(definitions).encode()).hexdigest()
