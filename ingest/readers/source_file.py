"""An input file, and the units in which files are read."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from mixscale.contracts.errors import UserError
from mixscale.ingest.readers.decompress import read_chunks
from mixscale.ingest.readers.malformed import DamagedFile


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One input file."""

    address: str
    """Local path or fsspec address."""
    name: str
    """As `documents` shows it: relative to the root or the YAML file's folder if it lies below."""
    format: str
    """A name of `registry`."""
    compression: str | None
    size: int
    version: str
    """Changes when the file does: what `local_version` makes, or what the object store reports."""
    domain: str | None
    """Nothing when each record names its own."""
    fields: tuple[str, ...] | None = None
    """The fields of a record that are used, that of the text first; nothing when all may be."""
    separator: str | None = None
    """What stands between the texts of a text file; nothing when the file is one text."""
    encoding: str | None = None
    """Of the characters; nothing for UTF-8."""
    is_validation: bool = False
    """Whether its texts are for validation, whatever their hashes."""

    @property
    def is_remote(self) -> bool:
        """Whether fsspec opens it."""
        return is_address(self.address)

    def open(self) -> IO[bytes]:
        """Open the raw bytes for reading."""
        if self.is_remote:
            import fsspec

            filesystem, path = fsspec.core.url_to_fs(self.address)
            return filesystem.open(path, "rb")
        return open(self.address, "rb")

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the file, decompressed and as UTF-8, some at a time.

        Raises:
            DamagedFile: The compressed data is damaged or ends early.
        """
        with self.open() as stream:
            chunks = read_chunks(stream, self.compression)
            yield from chunks if self.encoding is None else _as_utf8(chunks, self.encoding)

    def refuse_change(self) -> None:
        """Make sure that a local file is still the one that was found.

        Raises:
            UserError: It is not.
        """
        if self.is_remote:
            return
        status = os.stat(self.address)
        if (status.st_size, local_version(status)) != (self.size, self.version):
            raise UserError(
                f"{self.address}: changed while it was being read; run the same command again"
            )


@dataclass(frozen=True, kw_only=True)
class Unit:
    """An independent piece of reading: a file, or the records that start in a range of bytes."""

    file: SourceFile
    start: int
    end: int | None
    """Nothing when the unit is the whole file."""


def _as_utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Encode anew; what is no text in the encoding is none in UTF-8 either."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogateescape")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")
    except UnicodeError as error:
        raise DamagedFile(f"not {encoding}: {error}; what follows is lost") from error


def local_version(status: os.stat_result) -> str:
    """Write the times of the last change of a file and of its entry in the file system.

    The second one, unlike the first, tells also that another file with an older date was put in
    its place.
    """
    return f"{status.st_mtime_ns}.{status.st_ctime_ns}"


def last_change(version: str) -> int:
    """Read the later one of the two times, in nanoseconds."""
    return max(map(int, version.split(".")))


def is_address(path: str) -> bool:
    """Return whether this is an fsspec address, not a local path."""
    return ":" in path and bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)", path))
