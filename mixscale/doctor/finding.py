"""What one look at the installation or the machine has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warning", "error"]
"""`note`: something optional is not there; `error`: the basic commands cannot work."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    topic: str
    """What was looked at, such as `memory`."""
    state: State
    text: str
    remedy: str | None = None
    """What to type or to change, where something can be done."""
