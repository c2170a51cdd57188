"""What a check reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be."""

    place: str
    """File, record or stream, named relative to the shard set."""
    message: str
