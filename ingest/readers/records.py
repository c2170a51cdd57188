"""The records of a unit, whatever its format."""

from __future__ import annotations

from mixscale.contracts.errors import UserError
from mixscale.ingest.readers.base import Blocks
from mixscale.ingest.readers.malformed import DamagedFile, Malformed
from mixscale.ingest.readers.registry import find_reader
from mixscale.ingest.readers.source_file import Unit


def record_blocks(unit: Unit) -> Blocks:
    """Yield the records of a unit in blocks of moderate size.

    Raises:
        UserError: The file cannot be read now. That says nothing about its records, so they must
            not be counted as damaged.
    """
    read = find_reader(unit.file.format).reader.read
    try:
        yield from read(unit)
    except DamagedFile as error:
        yield [Malformed(error.detail)]
    except Exception as error:
        if not (unit.file.is_remote or isinstance(error, OSError)):
            raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(
            f"{unit.file.address}: cannot read: {reason}; "
            "once it can be read, the same command goes on where it stopped"
        ) from error
