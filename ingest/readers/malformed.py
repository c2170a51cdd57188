"""What stands in the place of a record that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Malformed:
    """Stands in the place of a record that cannot be read; `detail` says what is wrong with it."""

    detail: str
    status: ClassVar[str] = "malformed"
    """Its status in the documents table."""


@dataclass(frozen=True)
class Empty:
    """Stands in the place of a record that is not there, such as that of a blank line."""

    detail: str
    status: ClassVar[str] = "empty"


class DamagedFile(Exception):
    """A file that cannot be read any further; the records before the damage stay."""

    def __init__(self, detail: str) -> None:
        """Keep what a person needs to know."""
        super().__init__(detail)
        self.detail = detail
