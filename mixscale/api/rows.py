"""Results in rows, as the table that a notebook wants."""

from __future__ import annotations

import html
import importlib.util
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mixscale.contracts.errors import UserError

if TYPE_CHECKING:
    import pandas
    import polars

_SHOWN_ROWS = 20


class Rows:
    """A table of results: an Arrow table, a data frame, or rows, whichever is asked for.

    It is an Arrow table for whatever takes one: `polars.DataFrame(rows)`, `pyarrow.table(rows)`,
    `ms.fit_tables(rows, …)`.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Rows:
        """Make a table of rows that have the same columns."""
        return cls(pa.Table.from_pylist([dict(row) for row in rows]))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._table.column_names)

    def arrow(self) -> pa.Table:
        """As an Arrow table."""
        return self._table

    def df(self) -> pandas.DataFrame:
        """As a pandas DataFrame.

        Raises:
            UserError: pandas is not installed.
        """
        _need("pandas")
        return self._table.to_pandas()

    def pl(self) -> polars.DataFrame:
        """As a polars DataFrame.

        Raises:
            UserError: polars is not installed.
        """
        _need("polars")
        import polars

        return polars.DataFrame(self._table)

    def rows(self) -> list[dict[str, Any]]:
        """As a list of rows, each a mapping from column to value."""
        return self._table.to_pylist()

    def __len__(self) -> int:
        """The number of rows."""
        return self._table.num_rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the table to another library (Arrow PyCapsule interface)."""
        return self._table.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        heads = " | ".join(self.columns)
        shown = self._table.slice(0, _SHOWN_ROWS).to_pylist()
        lines = [" | ".join(map(_text, row.values())) for row in shown]
        return "\n".join([heads, *lines, *self._rest()])

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        shown = self._table.slice(0, _SHOWN_ROWS).to_pylist()
        body = "".join(f"<tr>{''.join(map(_cell, row.values()))}</tr>" for row in shown)
        rest = "".join(f"<p>{line}</p>" for line in self._rest())
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{rest}"

    def _rest(self) -> list[str]:
        hidden = len(self) - _SHOWN_ROWS
        return [f"… and {hidden} more rows"] if hidden > 0 else []


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UserError(f"this data frame needs {package}: pip install {package}")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    return f"<td>{html.escape(_text(value))}</td>"
