import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard

from mixscale.ingest.readers.decompress import read_chunks
from mixscale.ingest.readers.malformed import DamagedFile

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


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("zeros", [4, 512, 300_000])
def test_zeros_between_and_behind_frames_are_padding(name: str, zeros: int) -> None:
    frame = CODECS[name](DATA)
    assert read(frame + bytes(zeros) + frame + bytes(zeros), name) == DATA + DATA


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("share", [0.001, 0.2, 0.9, 0.9999])
def test_cut_short_is_noticed(name: str, share: float) -> None:
    whole = CODECS[name](DATA)
    with pytest.raises(DamagedFile, match="ends inside a frame"):
        read(whole[: max(1, int(len(whole) * share))], name)


@pytest.mark.parametrize("name", CODECS)
def test_what_is_not_compressed_is_named(name: str) -> None:
    with pytest.raises(DamagedFile, match=f"not valid {name} data"):
        read(b"plain text\n" * 100, name)


@pytest.mark.parametrize("name", CODECS)
def test_trailing_rubbish_is_noticed(name: str) -> None:
    with pytest.raises(DamagedFile, match="after 1 whole frames"):
        read(CODECS[name](DATA) + b"rubbish that is no frame", name)


# Files that carry a checksum of their text; Zstandard's is an option, which its tool switches on.
CHECKED = {**CODECS, "zst": zstandard.ZstdCompressor(write_checksum=True).compress}


@pytest.mark.parametrize("name", CHECKED)
def test_a_flipped_bit_is_noticed_or_changes_no_text(name: str) -> None:
    whole = CHECKED[name](DATA)
    rng = random.Random(7)
    noticed = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        try:
            found = read(bytes(damaged), name)
        except DamagedFile:
            noticed += 1
        else:
            # Some bits of a header, such as the time in that of gzip, mean nothing for the text.
            assert found == DATA
    assert noticed > 50


@pytest.mark.parametrize("name", CODECS)
def test_text_before_the_damage_is_given(name: str) -> None:
    first, second = CODECS[name](DATA), CODECS[name](b"second")
    chunks = read_chunks(io.BytesIO(first + second[:-1]), name)
    given = bytearray()

    def read_on() -> None:
        for chunk in chunks:
            given.extend(chunk)

    with pytest.raises(DamagedFile, match="ends inside a frame"):
        read_on()
    assert given.startswith(DATA)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("believed", [None, "gz", "zst"])
def test_the_bytes_tell_the_compression(name: str, believed: str | None) -> None:
    assert read(CODECS[name](DATA), believed) == DATA


def test_text_is_no_compression() -> None:
    assert read(b"BZh9 is how bzip2 files begin", None).startswith(b"BZh9")
