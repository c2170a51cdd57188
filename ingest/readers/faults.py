"""What is wrong with a record that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Stands in the place of a record; `detail` says what is wrong with it."""

    detail: str


class BrokenStream(Exception):
    """A file that cannot be read any further."""

    def __init__(self, detail: str) -> None:
        """Keep what a person needs to know."""
        super().__init__(detail)
        self.detail = detail
