"""Estimated amounts for people, with no more digits than an estimate has."""

from __future__ import annotations

from mixscale.contracts.config import format_tokens


def about_count(number: float) -> str:
    """Write a number with two digits: 7, 1.3k, 24M."""
    if number < 100:
        return f"{number:.0f}"
    digits = len(f"{number:.0f}") - 2
    return format_tokens(round(number, -digits))


def plural(number: int, one: str) -> str:
    """Write a number of things."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def about_bytes(number: float) -> str:
    """Write bytes for people: 840 B, 5.2 MB, 1.3 TB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            is_whole = number >= 99.5 or unit == "B"
            return f"{number:.0f} {unit}" if is_whole else f"{number:.2g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
