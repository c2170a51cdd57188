"""Two runs compared, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from mixscale.api.comparison import Comparison, MetricDifference
from mixscale.contracts.config import format_tokens

_RUNS = {"first": "A", "second": "B"}


def difference_table(result: Comparison) -> Table:
    """Draw a row for each metric."""
    table = Table(title=f"A: {result.first}\nB: {result.second}")
    table.add_column("metric")
    for column in ("A", "B", "B less A", "95 % interval", "pairs"):
        table.add_column(column, justify="right")
    for column in ("unit", "better"):
        table.add_column(column)
    for one in result.differences:
        table.add_row(
            one.name,
            f"{one.first:.4f}",
            f"{one.second:.4f}",
            f"{one.difference:+.4f}",
            "" if one.low is None else f"{one.low:+.4f} to {one.high:+.4f}",
            "" if one.shared_items is None else f"{one.shared_items:,}",
            one.unit,
            _better(one),
        )
    return table


def _better(one: MetricDifference) -> str:
    if one.higher_is_better is None:
        return "direction unknown"
    return "not certain" if one.better is None else _RUNS[one.better]


def saved_lines(result: Comparison) -> Iterator[str]:
    """Say which run is sooner where the other ends."""
    for one in result.tokens_saved:
        mine, theirs = (_RUNS[name] for name in _order(one.run))
        yield (
            f"{one.domain}: {mine} reaches the final loss of {theirs} ({one.target_loss:.4f}) "
            f"after {format_tokens(round(one.tokens))} tokens, {theirs} took "
            f"{format_tokens(one.other_tokens)}: {one.share:.0%} saved"
        )
    if not result.tokens_saved:
        yield (
            "tokens saved: unknown; neither learning curve comes down to the other's final loss "
            "between two of its evaluations (`evaluation: {points: 10}` gives finer curves)"
        )


def _order(run: str) -> tuple[str, str]:
    return ("first", "second") if run == "first" else ("second", "first")
