"""Numbers and texts as the page shows them."""

from __future__ import annotations

from mixscale.contracts.config import format_tokens
from mixscale.pages.elements import Html, element, joined

_CONTROL = {number: 0x2400 + number for number in range(32) if chr(number) not in "\n\t"}
_CONTROL[0x7F] = 0x2421


def count(number: float) -> str:
    """Write a number for people: whole below 10,000, then with three digits."""
    return f"{number:,.0f}" if number < 10_000 else format_tokens(number)


def plural(number: int, one: str) -> str:
    """Write a number of things."""
    return f"{count(number)} {one}" if number == 1 else f"{count(number)} {one}s"


def part(share: float) -> str:
    """Write a part of one as percent; what is there is never 0 %."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def size(number: float) -> str:
    """Write bytes for people."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number /= 1000
        del units[0]
    unit = units[0]
    digits = f"{number:.0f}" if unit == "bytes" else f"{number:.3g}"
    return f"{digits}\N{NO-BREAK SPACE}{unit}"


def with_code(text: str) -> Html:
    """Set what stands between backticks as code."""
    pieces = text.split("`")
    return joined(element("code", p) if n % 2 else p for n, p in enumerate(pieces))


def shown(text: str, most: int) -> str:
    """Shorten a text, and make its control characters visible, which HTML cannot hold."""
    cut = text[:most]
    visible = cut.translate(_CONTROL).encode("utf-8", "replace").decode("utf-8")
    return f"{visible}…" if len(text) > most else visible


def status_name(status: str) -> str:
    """Write a status in words."""
    return {"near_duplicate": "near duplicate", "too_short": "too short"}.get(status, status)
