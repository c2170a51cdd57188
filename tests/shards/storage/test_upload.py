from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streaming import LocalDataset, StreamingDataset

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import read_shardset
from mixscale.shards.storage.upload import upload
from mixscale.shards.verify.verify import verify


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_copy_is_whole_and_streams(made: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    count = upload(made, str(remote))
    here = {
        name: data
        for name, data in files(made).items()
        if name.split("/")[0] not in ("runs", "sweeps", "fits", ".uploads")
    }
    assert files(remote) == here
    assert count == len(here)
    assert verify(remote, progress=False).sound
    streamed = StreamingDataset(
        remote=str(remote / "arxiv"),
        local=str(tmp_path / "local"),
        split="train",
        batch_size=1,
        shuffle=False,
    )
    source = LocalDataset(str(made / "arxiv" / "train"))
    expected = [source[number]["tokens"] for number in range(len(source))]
    assert len(expected) == read_shardset(made).domains["arxiv"]["train"].samples
    assert np.array_equal([sample["tokens"] for sample in streamed], expected)


def test_a_copy_that_fails_is_not_taken_for_whole(made: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    (remote / "arxiv" / "train" / "shard.00001.mds").mkdir(parents=True)
    (remote / "arxiv" / "train" / "shard.00001.mds" / "shard.00001.mds").mkdir()
    with pytest.raises(OSError, match=r"shard\.00001\.mds"):
        upload(made, str(remote))
    with pytest.raises(UserError, match="not a finished shard set"):
        read_shardset(remote)


def test_a_copy_goes_on_where_it_stopped(copied: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    hindrance = remote / "github" / "train" / "index.json" / "index.json"
    hindrance.mkdir(parents=True)
    with pytest.raises(OSError, match=r"index\.json"):
        upload(copied, f"file://{remote}")
    with pytest.raises(UserError, match="a copy that was not finished"):
        read_shardset(remote)
    before = {p: p.stat().st_mtime_ns for p in remote.rglob("*.mds")}
    hindrance.rmdir()
    hindrance.parent.rmdir()
    count = upload(copied, f"file://{remote}")
    assert 0 < count < len(files(remote)) - len(before)
    assert {p: p.stat().st_mtime_ns for p in remote.rglob("*.mds")} == before
    assert verify(remote, progress=False).sound
    assert upload(copied, f"file://{remote}") == 0


def test_only_what_changed_is_copied_again(copied: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    upload(copied, str(remote))
    (copied / "documents/arxiv/00000.parquet").touch()
    assert upload(copied, str(remote)) == 1
    # The old copy counts as unfinished until the new one is whole.
    (copied / "documents/arxiv/00000.parquet").touch()
    (remote / "documents/arxiv/00000.parquet").unlink()
    (remote / "documents/arxiv/00000.parquet/00000.parquet").mkdir(parents=True)
    with pytest.raises(OSError, match="parquet"):
        upload(copied, str(remote))
    with pytest.raises(UserError, match="a copy that was not finished"):
        read_shardset(remote)


def test_what_is_left_by_an_interrupted_write_stays_here(copied: Path, tmp_path: Path) -> None:
    (copied / "documents" / "arxiv" / ".tmp-1-00000.parquet").touch()
    (copied / "arxiv" / "train" / ".tmp-1-shard.00000.mds").touch()
    upload(copied, str(tmp_path / "remote"))
    assert not [name for name in files(tmp_path / "remote") if ".tmp-" in name]


def test_unknown_addresses_are_refused(made: Path) -> None:
    with pytest.raises(
        UserError, match=r"ftp://x: Streaming cannot write there, but to s3://, gs://"
    ):
        upload(made, "ftp://x")
