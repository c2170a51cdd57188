"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out a table; all columns but the first are numbers, set to the right."""
    lines = [_line(columns), _line(["---"] + ["---:"] * (len(columns) - 1))]
    return "\n".join([*lines, *(_line([str(cell) for cell in row]) for row in rows)])


def percent(value: float, low: float, high: float) -> str:
    """Write a share in percent with its interval."""
    return f"{100 * value:.1f} ({100 * low:.0f} to {100 * high:.0f})"


def signed(value: float, low: float, high: float) -> str:
    """Write a difference in nats with its interval."""
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
