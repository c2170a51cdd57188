from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming import LocalDataset, MDSWriter, StreamingDataset
from streaming.base.compression import get_compressions
from streaming.base.hashing import get_hashes

from mixscale.contracts.errors import UserError
from mixscale.shards.storage.compression import CODECS, compress, decompress, parse_compression
from mixscale.shards.storage.hashes import hash_names
from mixscale.shards.storage.mds import (
    MdsOptions,
    ShardRange,
    TokenFile,
    shard_plan,
    token_dtype,
    write_shard,
)
from mixscale.shards.storage.mds_index import finish_stream, read_entries, stream_sha256
from tests.shards.small_shardsets import write_stream, write_tokens

UINT16 = np.dtype("<u2")


def random_tokens(count: int, dtype: np.dtype[Any], seed: int = 0) -> np.ndarray[Any, Any]:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, count, dtype=dtype, endpoint=True)


def reference_stream(
    folder: Path, tokens: np.ndarray[Any, Any], sequence_length: int, options: MdsOptions
) -> None:
    """Write the whole samples of a stream with Streaming's own writer."""
    samples = len(tokens) // sequence_length
    with MDSWriter(
        columns={"tokens": f"ndarray:{tokens.dtype.name}:{sequence_length}"},
        out=str(folder),
        size_limit=options.size_limit,
        compression=options.compression,
        hashes=list(options.hashes),
    ) as writer:
        for sample in tokens[: samples * sequence_length].reshape(samples, sequence_length):
            writer.write({"tokens": sample})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=50)
@given(
    sequence_length=st.integers(1, 40),
    samples=st.integers(0, 60),
    remainder=st.integers(0, 39),
    wide=st.booleans(),
    size_limit=st.integers(0, 3000),
    compression=st.sampled_from([None, "zstd", "zstd:19", "br:4", "bz2", "bz2:1", "snappy"]),
    hashes=st.sets(st.sampled_from(["md5", "sha1", "sha256", "blake2b", "xxh64", "xxh3_128"])),
    pieces=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_bytes_are_those_of_mdswriter(
    sequence_length: int,
    samples: int,
    remainder: int,
    wide: bool,
    size_limit: int,
    compression: str | None,
    hashes: set[str],
    pieces: int,
    seed: int,
) -> None:
    dtype = np.dtype("<u4") if wide else UINT16
    count = samples * sequence_length + remainder % sequence_length
    tokens = random_tokens(count, dtype, seed)
    # Enough for one sample and its header; less is refused, see below.
    limit = 400 + sequence_length * 4 + size_limit
    options = MdsOptions(size_limit=limit, compression=compression, hashes=tuple(sorted(hashes)))
    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs = Path(scratch) / "ours", Path(scratch) / "theirs"
        write_stream(ours, tokens, sequence_length, options, pieces)
        reference_stream(theirs, tokens, sequence_length, options)
        assert contents(ours) == contents(theirs)


@pytest.mark.parametrize("compression", sorted(get_compressions() - {"br:10", "br:11", "br"}))
def test_every_compression_is_that_of_streaming(
    compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # gzip writes the time into its header; ours is always 0.
    monkeypatch.setattr("gzip.time.time", lambda: 0)
    tokens = random_tokens(500, UINT16)
    options = MdsOptions(size_limit=600, compression=compression, hashes=("sha1",))
    write_stream(tmp_path / "ours", tokens, 16, options)
    reference_stream(tmp_path / "theirs", tokens, 16, options)
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")


def test_the_names_of_compressions_and_hashes_are_those_of_streaming() -> None:
    ours = {
        name for family, codec in CODECS.items()
        for name in [family, *(f"{family}:{level}" for level in codec.levels)]
    }  # fmt: skip
    assert ours == get_compressions()
    assert hash_names() == get_hashes()


@pytest.mark.parametrize("compression", [None, "zstd", "gz", "snappy"])
@pytest.mark.parametrize("wide", [False, True])
def test_streaming_reads_every_sample_back(
    compression: str | None, wide: bool, tmp_path: Path
) -> None:
    tokens = random_tokens(3217, np.dtype("<u4") if wide else UINT16)
    options = MdsOptions(size_limit=1500, compression=compression, hashes=("sha1", "xxh64"))
    write_stream(tmp_path / "remote", tokens, 32, options)
    expected = tokens[: 100 * 32].reshape(100, 32)
    streamed = StreamingDataset(
        remote=str(tmp_path / "remote"),
        local=str(tmp_path / "local"),
        validate_hash="sha1",
        batch_size=1,
        shuffle=False,
    )
    assert np.array_equal(np.stack([sample["tokens"] for sample in streamed]), expected)
    if compression is None:
        local = LocalDataset(str(tmp_path / "remote"))
        read = np.stack([local[number]["tokens"] for number in range(len(local))])
        assert np.array_equal(read, expected)


def test_an_empty_stream_is_legal(tmp_path: Path) -> None:
    options = MdsOptions()
    assert write_stream(tmp_path / "ours", random_tokens(7, UINT16), 8, options) == []
    reference_stream(tmp_path / "theirs", random_tokens(7, UINT16), 8, options)
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    assert read_entries(tmp_path / "ours") == []
    assert stream_sha256(tmp_path / "ours") == hashlib.sha256().hexdigest()


def test_the_plan_covers_every_whole_sample_once() -> None:
    plan = shard_plan(1003 * 16 + 5, 16, UINT16, MdsOptions(size_limit=1000))
    assert [shard.number for shard in plan] == list(range(len(plan)))
    covered = [n for s in plan for n in range(s.first_sample, s.first_sample + s.samples)]
    assert covered == list(range(1003))


def test_a_shard_is_written_again_alike(tmp_path: Path) -> None:
    tokens = random_tokens(1000, UINT16)
    files = write_tokens(tmp_path, tokens, 4)
    options = MdsOptions(size_limit=700, compression="gz")
    second = shard_plan(1000, 16, UINT16, options)[1]
    first_time = write_shard(tmp_path / "a", second, files, 16, UINT16, options)
    assert write_shard(tmp_path / "b", second, files, 16, UINT16, options) == first_time
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_stream_hash_depends_on_names_and_bytes(tmp_path: Path) -> None:
    options = MdsOptions(size_limit=700)
    entries = write_stream(tmp_path, random_tokens(1000, UINT16), 16, options)
    before = stream_sha256(tmp_path)
    shard = tmp_path / "shard.00001.mds"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert stream_sha256(tmp_path) != before
    data[-1] ^= 1
    shard.write_bytes(data)
    assert stream_sha256(tmp_path) == before
    finish_stream(tmp_path, entries[:1])
    assert stream_sha256(tmp_path) != before


def test_a_token_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tokens"
    random_tokens(99, UINT16).tofile(path)
    plan = ShardRange(number=0, first_sample=0, samples=6)
    files = [TokenFile(path=path, tokens=100)]
    with pytest.raises(UserError, match=r"a\.tokens: expected 100 tokens \(200 bytes\), found 198"):
        write_shard(tmp_path / "out", plan, files, 16, UINT16, MdsOptions())
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    tokens = random_tokens(100, UINT16)
    files = write_tokens(tmp_path, tokens, 1)
    plan = ShardRange(number=0, first_sample=0, samples=6)
    (tmp_path / "out" / "shard.00000.mds").mkdir(parents=True)
    with pytest.raises(OSError, match=r"shard\.00000\.mds"):
        write_shard(tmp_path / "out", plan, files, 16, UINT16, MdsOptions())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["shard.00000.mds"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size_limit": 0}, r"size_limit: 0 is not in 1\.\.4294967295"),
        ({"size_limit": 1 << 32}, r"size_limit: 4294967296 is not in"),
        ({"compression": "zip"}, r"compression: unknown value 'zip'; expected one of br\[:0-11\]"),
        ({"compression": "zstd:23"}, r"unknown value 'zstd:23'.*zstd\[:1-22\]"),
        ({"compression": "snappy:1"}, r"unknown value 'snappy:1'"),
        ({"hashes": ("sha_1",)}, r"hashes: unknown value 'sha_1'.*Did you mean 'sha1'"),
        ({"hashes": ("xxh64", "sha1")}, r"hashes: \['xxh64', 'sha1'\] must be sorted"),
    ],
)
def test_settings_that_streaming_would_refuse(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MdsOptions(**settings)


def test_a_limit_below_one_sample_names_the_smallest(tmp_path: Path) -> None:
    # MDSWriter would write an empty first shard, then a shard for every sample.
    with pytest.raises(
        UserError, match=r"cannot hold one sample of 100 tokens; use at least (\d+)"
    ) as caught:
        shard_plan(1000, 100, UINT16, MdsOptions(size_limit=300))
    smallest = int(str(caught.value).rsplit(" ", 1)[1])
    tokens = random_tokens(1000, UINT16)
    write_stream(tmp_path / "ours", tokens, 100, MdsOptions(size_limit=smallest))
    reference_stream(tmp_path / "theirs", tokens, 100, MdsOptions(size_limit=smallest))
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")


@pytest.mark.parametrize(("vocab_size", "name"), [(65536, "uint16"), (65537, "uint32")])
def test_the_smallest_dtype_is_chosen(vocab_size: int, name: str) -> None:
    assert token_dtype(vocab_size).name == name


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}'])
def test_a_damaged_index_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(UserError, match=r"index\.json: not the index of an MDS stream"):
        read_entries(tmp_path)


@given(st.binary(max_size=200), st.sampled_from(["br:1", "bz2", "gz", "snappy", "zstd:5"]))
def test_compression_loses_nothing(data: bytes, name: str) -> None:
    assert decompress(name, compress(name, [data[:7], data[7:]])) == data
    assert parse_compression(name)[0] == name.split(":")[0]


def test_index_json_comes_last_and_is_json(tmp_path: Path) -> None:
    entries = write_stream(tmp_path, random_tokens(100, UINT16), 10, MdsOptions())
    assert json.loads((tmp_path / "index.json").read_text()) == {"version": 2, "shards": entries}
