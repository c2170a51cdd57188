"""SQL text from names and values."""

from __future__ import annotations

import glob
from pathlib import Path


def literal(text: str) -> str:
    """Quote text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Quote a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def escape_glob(folder: Path) -> str:
    """Write a folder's name so that a file pattern takes it literally."""
    return glob.escape(str(folder))
