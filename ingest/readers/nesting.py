"""JSON nested deeper than parsers follow."""

from __future__ import annotations

import re

MOST_LEVELS = 500
"""Of a record that is nested deeper, what lies below is left out."""
_TOKENS = r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]'
_TEXT_TOKENS = re.compile(_TOKENS, re.DOTALL)
_BYTE_TOKENS = re.compile(_TOKENS.encode(), re.DOTALL)


def closing_bracket(text: str, start: int) -> int | None:
    """Find the place behind the bracket that closes the one at `start`, if there is one."""
    level = 0
    for match in _TEXT_TOKENS.finditer(text, start):
        if match[0] in ("[", "{"):
            level += 1
        elif match[0] in ("]", "}"):
            level -= 1
            if level == 0:
                return match.end()
    return None


def without_deep_levels(line: bytes | bytearray) -> bytes | None:
    """Put null in the place of what is nested too deeply; nothing when nothing is."""
    if line.count(b"[") + line.count(b"{") <= MOST_LEVELS:
        return None
    pieces: list[bytes] = []
    level = kept_to = 0
    for match in _BYTE_TOKENS.finditer(line):
        if match[0] in (b"[", b"{"):
            if level == MOST_LEVELS:
                pieces += [bytes(line[kept_to : match.start()]), b"null"]
            level += 1
        elif match[0] in (b"]", b"}"):
            level -= 1
            if level == MOST_LEVELS:
                kept_to = match.end()
    if not pieces:
        return None
    return b"".join([*pieces, bytes(line[kept_to:])])
