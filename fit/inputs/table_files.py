"""Tables read from files, whoever wrote them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixscale.contracts.errors import UserError
from mixscale.fit.inputs.cells import is_missing

Columns = dict[str, list[Any]]
_SAMPLE = 1 << 16
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_table(path: str | Path) -> Columns:
    """Read a CSV, TSV or Parquet file by column.

    Columns may be separated by commas, semicolons, tabs or bars; where it is not the comma, a
    comma may be the decimal point. Names lose the spaces around them; a column without a name or a
    value, as a comma at the end of each line makes, is dropped.

    Raises:
        UserError: It cannot be read, is empty, or names a column twice.
    """
    import pyarrow as pa
    import pyarrow.parquet

    source = Path(path)
    try:
        if source.suffix.lower() in (".parquet", ".pq"):
            table = pyarrow.parquet.read_table(source)
        else:
            table = _read_text(source.read_bytes())
    except OSError as error:
        raise UserError(f"{source}: cannot read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 text (byte {error.start})") from error
    except pa.ArrowException as error:
        raise UserError(f"{source}: not a table: {str(error).splitlines()[0]}") from error
    if not table.num_rows:
        raise UserError(f"{source}: the table has no rows")
    named = [
        (name.strip(), table.column(i).to_pylist()) for i, name in enumerate(table.column_names)
    ]
    named = [(name, cells) for name, cells in named if name or not all(map(is_missing, cells))]
    names = [name for name, _ in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"{source}: columns share a name: {', '.join(twice)}; rename or delete all but one"
        )
    return dict(named)


def _read_text(raw: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.csv

    # Excel writes "Unicode text" in UTF-16, and may name the separator in a first line.
    text = raw.decode("utf-16" if raw.startswith(_UTF16) else "utf-8-sig")
    named = re.match(r'"?sep=(.)"?\r?\n', text)
    text = text[named.end() :] if named else text
    delimiter, decimal = _dialect(text[:_SAMPLE])
    return pyarrow.csv.read_csv(
        pa.BufferReader(text.encode()),
        parse_options=pyarrow.csv.ParseOptions(delimiter=named[1] if named else delimiter),
        convert_options=pyarrow.csv.ConvertOptions(
            decimal_point=decimal, strings_can_be_null=True, quoted_strings_can_be_null=True
        ),
    )


def _dialect(text: str) -> tuple[str, str]:
    """Separator and decimal point of a table as text, from its first lines."""
    head, _, rest = text.partition("\n")
    delimiter = max(",;\t|", key=head.count)
    comma = delimiter != "," and re.search(r"\d,\d", rest) and not re.search(r"\d\.\d", rest)
    return delimiter, "," if comma else "."


def stacked(tables: Sequence[Columns], names: Sequence[str]) -> Columns:
    """Put the rows of tables of one kind below each other.

    Raises:
        UserError: Their columns differ.
    """
    first = tables[0]
    for table, name in zip(tables[1:], names[1:], strict=True):
        differing = sorted(set(first) ^ set(table))
        if differing:
            raise UserError(
                f"{name}: its columns are not those of {names[0]}: {', '.join(differing)}; tables "
                "that are given together must have the same columns"
            )
    return {column: [cell for table in tables for cell in table[column]] for column in first}
