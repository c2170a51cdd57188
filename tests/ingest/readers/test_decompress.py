import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard

from mixscale.ingest.readers.decompress import read_chunks
from mixscale.ingest.readers.faults import BrokenStream

CODECS: dict[str, Callable[[bytes], bytes]] = {
    "zst": zstandard.ZstdCompressor().compress,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
DATA = random.Random(5).randbytes(40_000) + b"text " * 100_000


def read(data: bytes, compression: str | None) -> bytes:
    return b"".join(read_chunks(io.BytesIO(data), compression))


@pytest.mark.parametrize("name", CODECS)
def test_round_trip_of_several_frames(name: str) -> None:
    frames = CODECS[name](DATA) + CODECS[name](b"") + CODECS[name](b"end")
    assert read(frames, name) == DATA + b"end"


@pytest.mark.parametrize("name", CODECS)
def test_empty_file_has_no_text(name: str) -> None:
    assert read(b"", name) == b""


def test_plain_bytes() -> None:
    assert read(DATA, None) == DATA


def test_zeros_behind_gzip_are_padding() -> None:
    assert read(gzip.compress(DATA) + b"\0" * 512, "gz") == DATA


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("share", [0.001, 0.2, 0.9, 0.9999])
def test_cut_short_is_noticed(name: str, share: float) -> None:
    whole = CODECS[name](DATA)
    with pytest.raises(BrokenStream, match="ends inside a frame"):
        read(whole[: max(1, int(len(whole) * share))], name)


@pytest.mark.parametrize("name", CODECS)
def test_what_is_not_compressed_is_named(name: str) -> None:
    with pytest.raises(BrokenStream, match=f"not valid {name} data"):
        read(b"plain text\n" * 100, name)


@pytest.mark.parametrize("name", CODECS)
def test_trailing_rubbish_is_noticed(name: str) -> None:
    with pytest.raises(BrokenStream, match="after 1 whole frames"):
        read(CODECS[name](DATA) + b"rubbish that is no frame", name)


@pytest.mark.parametrize("name", CODECS)
def test_damaged_bytes_never_raise_anything_else(name: str) -> None:
    whole = bytearray(CODECS[name](DATA))
    rng = random.Random(7)
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        try:
            read(bytes(damaged), name)
        except BrokenStream:
            continue
