"""The compressions that Streaming reads, without importing Streaming (which imports torch)."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mixscale.contracts.errors import UserError


class Codec(NamedTuple):
    """One compression family: its level when none is named, and the levels it has."""

    compress: Callable[[bytes, int], bytes]
    decompress: Callable[[bytes], bytes]
    default_level: int
    levels: range


def _gzip(data: bytes, level: int) -> bytes:
    # gzip stamps the time into the header by default; equal input must give equal bytes.
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=level, mtime=0) as stream:
        stream.write(data)
    return buffer.getvalue()


def _brotli(data: bytes, level: int) -> bytes:
    import brotli

    return brotli.compress(data, quality=level)


def _unbrotli(data: bytes) -> bytes:
    import brotli

    return brotli.decompress(data)


def _snappy(data: bytes, level: int) -> bytes:
    import snappy

    return snappy.compress(data)


def _unsnappy(data: bytes) -> bytes:
    import snappy

    return snappy.decompress(data)  # pyright: ignore[reportReturnType]  # str only if asked for


def _zstd(data: bytes, level: int) -> bytes:
    import zstd

    return zstd.compress(data, level)


def _unzstd(data: bytes) -> bytes:
    import zstd

    return zstd.decompress(data)


# Families, default levels and permitted levels as in Streaming 0.13; the key is also the ending.
CODECS = {
    "br": Codec(_brotli, _unbrotli, 11, range(12)),
    "bz2": Codec(bz2.compress, bz2.decompress, 9, range(1, 10)),
    "gz": Codec(_gzip, gzip.decompress, 9, range(10)),
    "snappy": Codec(_snappy, _unsnappy, 0, range(0)),
    "zstd": Codec(_zstd, _unzstd, 3, range(1, 23)),
}


def parse_compression(name: str) -> tuple[str, int]:
    """Split a name such as `zstd` or `zstd:7` into its family and level.

    Raises:
        UserError: Streaming has no compression of that name or level.
    """
    family, colon, level = name.partition(":")
    codec = CODECS.get(family)
    if codec is not None and not colon:
        return family, codec.default_level
    if codec is not None and level.isdecimal() and int(level) in codec.levels:
        return family, int(level)
    raise UserError(f"compression: unknown value {name!r}; expected one of {_choices()}")


def compress(name: str, buffers: Iterable[bytes | memoryview]) -> bytes:
    """Compress the joined buffers as the compression `name` says."""
    family, level = parse_compression(name)
    return CODECS[family].compress(b"".join(buffers), level)


def decompress(name: str, data: bytes) -> bytes:
    """Undo `compress`."""
    return CODECS[parse_compression(name)[0]].decompress(data)


def _choices() -> str:
    return ", ".join(
        f"{family}[:{codec.levels[0]}-{codec.levels[-1]}]" if codec.levels else family
        for family, codec in CODECS.items()
    )
