"""Compressed byte streams that notice when they were cut short."""

from __future__ import annotations

import bz2
import itertools
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from mixscale.ingest.readers.malformed import DamagedFile

# Small, because a chunk's decompressed bytes are all in memory at once.
_READ_BYTES = 1 << 17
_PLAIN_READ_BYTES = 1 << 20


def _zstd() -> Any:
    import zstandard

    # Archives made with `zstd --long=31` need this window.
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "zst": _zstd,
    "gz": lambda: zlib.decompressobj(wbits=31),
    "bz2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}
"""By name: makes an object with `decompress`, `eof` and `unused_data` for one frame."""
COMPRESSIONS = {**{name: name for name in DECOMPRESSORS}, "zstd": "zst", "gzip": "gz"}
"""From the file ending to the name."""


_MAGIC = {
    b"\x28\xb5\x2f\xfd": "zst",
    b"\x1f\x8b\x08": "gz",
    b"\xfd7zXZ\x00": "xz",
    **{f"BZh{level}1AY&SY".encode(): "bz2" for level in range(1, 10)},
}
_MAGIC_BYTES = max(map(len, _MAGIC))
_MAGIC_STARTS = frozenset(magic[:1] for magic in _MAGIC)


def compression_of(start: bytes, compression: str | None) -> str | None:
    """Name the compression that the first bytes of a file tell.

    Args:
        start: At least 10 bytes, if the file has them.
        compression: What the ending of the name tells, which holds when the bytes tell nothing.
    """
    if start[:1] not in _MAGIC_STARTS:
        # Nearly always, and there may be a million files.
        return compression
    found = (name for magic, name in _MAGIC.items() if start.startswith(magic))
    return next(found, compression)


def read_chunks(stream: IO[bytes], compression: str | None) -> Iterator[bytes]:
    """Yield the plain bytes of a stream, whatever its name says of its compression.

    Raises:
        DamagedFile: The compressed data is damaged or ends early.
    """
    start = stream.read(_MAGIC_BYTES)
    compression = compression_of(start, compression)
    size = _PLAIN_READ_BYTES if compression is None else _READ_BYTES
    chunks = itertools.chain([start] if start else [], _plain_chunks(stream, size))
    yield from chunks if compression is None else _decompressed(chunks, compression)


def _plain_chunks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while chunk := stream.read(size):
        yield chunk


def _decompressed(chunks: Iterator[bytes], compression: str) -> Iterator[bytes]:
    frame: Any = None
    frames = 0
    for chunk in chunks:
        while chunk:
            if frame is None:
                # Tapes and some writers of gz and xz pad with zeros, which is no damage.
                chunk = chunk.lstrip(b"\0") if frames else chunk
                if not chunk:
                    break
                frame = DECOMPRESSORS[compression]()
            yield _decompress(frame, chunk, compression, frames)
            if not frame.eof:
                break
            chunk, frame, frames = frame.unused_data, None, frames + 1
    if frame is not None:
        raise DamagedFile(
            f"the {compression} data ends inside a frame: the file was cut short, "
            "and what followed is lost"
        )


def _decompress(frame: Any, chunk: bytes, compression: str, frames: int) -> bytes:
    try:
        return frame.decompress(chunk)
    except Exception as error:  # each library has its own class for damaged data
        if isinstance(error, MemoryError):
            raise
        place = f" after {frames} whole frames" if frames else ""
        raise DamagedFile(f"not valid {compression} data{place} ({error})") from error
