"""Values and comments as YAML text."""

from __future__ import annotations

import json
import re

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./*-]*")
_TAKEN = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null|none|~)|\.(?i:inf|nan)|\.{1,2}$")


def scalar(text: str) -> str:
    """Write a text so that YAML reads the same text again."""
    if _PLAIN.fullmatch(text) and not _TAKEN.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)


def flow_list(texts: list[str]) -> str:
    """Write texts as a list in one line; one text as itself."""
    if len(texts) == 1:
        return scalar(texts[0])
    return f"[{', '.join(scalar(text) for text in texts)}]"


def one_line(text: str) -> str:
    """Make a text, such as the name of a file, safe to stand in a comment or on a terminal."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
