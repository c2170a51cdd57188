"""What stands in the place of a record, or of a part of one, that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Malformed:
    """Stands in the place of a record that cannot be read; `detail` says what is wrong with it."""

    detail: str
    status: ClassVar[str] = "malformed"
    """Its status in the documents table."""


@dataclass(frozen=True)
class Damaged(Malformed):
    """A record that is malformed, unless its text is whole; `detail` says what is wrong with it."""

    fields: dict[str, Any]
    """What can be read of it: not every text is UTF-8, not every number is one."""


@dataclass(frozen=True)
class Empty:
    """Stands in the place of a record that is not there, such as that of a blank line."""

    detail: str
    status: ClassVar[str] = "empty"


@dataclass(frozen=True)
class Unreadable:
    """Stands in the place of one field of a record; the other fields are as they should be."""

    detail: str


class PartlyRead(dict[str, Any]):
    """A record of which something inside was left out."""

    def __init__(self, fields: dict[str, Any], loss: str) -> None:
        """Keep the fields that there are, and what a person needs to know about the others."""
        super().__init__(fields)
        self.loss = loss


class DamagedFile(Exception):
    """A file that cannot be read any further; the records before the damage stay."""

    def __init__(self, detail: str) -> None:
        """Keep what a person needs to know."""
        super().__init__(detail)
        self.detail = detail
