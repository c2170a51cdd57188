"""What commands print."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click


def print_json(value: Any) -> None:
    """Print a result for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(table: Any) -> None:
    """Print one of rich's tables."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    # A pipe has no width: a table must not lose its columns there.
    console.width = console.width if console.is_terminal else 200
    console.print(table)


def print_parts(parts: Iterable[Any]) -> None:
    """Print sentences, which are broken into lines already, and tables."""
    for part in parts:
        if isinstance(part, str):
            click.echo(part)
        else:
            print_table(part)


def note(text: str) -> None:
    """Tell a person something on standard error, beside the result."""
    click.echo(text, err=True)
