"""Copies a finished shard set to an object store with Streaming's own uploader."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import xxhash

from mixscale.contracts.atomic import write_json
from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import FILE_NAME, UNFINISHED, ShardSet, read_shardset
from mixscale.shards.sql.index import FILE_NAME as INDEX_DATABASE
from mixscale.shards.storage.checksums import FILE_NAME as CHECKSUMS
from mixscale.shards.storage.checksums import list_files
from mixscale.shards.storage.mds_index import INDEX, read_entries, shard_basename

JOURNALS = ".uploads"
_THREADS = 8
_RETRIES = 4


def upload(folder: str | Path, remote: str) -> int:
    """Copy a shard set to a remote folder; `shardset.json` arrives last and marks it complete.

    What has arrived is remembered in `.uploads/`, so that an interrupted copy continues where it
    stopped, and only what changed is copied again.

    Args:
        folder: The shard set; its runs and fits stay here.
        remote: An address that Streaming can write to (s3://, gs://, oci://, azure:// …), or a
            folder, also as file://. `remote/<domain>` with a split is what a run's streams then
            read.

    Returns:
        The number of files copied.

    Raises:
        UserError: The folder is not a finished shard set, or Streaming knows no such address.
    """
    root = Path(folder).resolve()
    shardset = read_shardset(root)
    target = check_address(remote)
    journal = _Journal(root, target)
    batches = [[n for n in batch if not journal.has(n)] for batch in _batches(root, shardset)]
    if not any(batches):
        return 0
    if not journal.is_under_way:
        _mark_unfinished(target)
        journal.begin()
    with tempfile.TemporaryDirectory() as scratch:
        # Streaming wants its local folder to be empty at first.
        uploader = _uploader(scratch, target)
        for path in root.iterdir():
            (Path(scratch) / path.name).symlink_to(path)
        for batch in batches:
            _make_folders(target, batch)
            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(lambda name: _send(uploader, journal, name), batch))
    return sum(map(len, batches))


def check_address(remote: str) -> str:
    """Give an address in the form that Streaming knows.

    Raises:
        UserError: Streaming cannot write there.
    """
    from streaming.base.storage.upload import UPLOADERS

    target = remote.removeprefix("file://")
    if urlparse(target).scheme not in UPLOADERS:
        schemes = ", ".join(f"{scheme}://" for scheme in UPLOADERS if scheme.isalnum())
        raise UserError(f"{remote}: Streaming cannot write there, but to {schemes} or a folder")
    return target


def _mark_unfinished(target: str) -> None:
    """Mark what is already at the address as an unfinished copy."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as scratch:
        uploader = _uploader(scratch, target)
        write_json(Path(folder) / FILE_NAME, {"format": UNFINISHED})
        (Path(scratch) / FILE_NAME).symlink_to(Path(folder) / FILE_NAME)
        uploader.upload_file(FILE_NAME)


def _uploader(local: str, remote: str) -> Any:
    from streaming.base.storage.upload import CloudUploader

    return CloudUploader.get((local, remote), keep_local=True, retry=_RETRIES)


def _send(uploader: Any, journal: _Journal, name: str) -> None:
    stamp = journal.stamp(name)
    uploader.upload_file(name)
    journal.add(name, stamp)


class _Journal:
    """Records which files have arrived at one address, and in which state."""

    def __init__(self, root: Path, remote: str) -> None:
        self._root = root
        self._path = root / JOURNALS / f"{xxhash.xxh3_64_hexdigest(remote)}.jsonl"
        self._lock = threading.Lock()
        self._arrived: dict[str, list[int]] = {}
        self.is_under_way = False
        with suppress(FileNotFoundError):
            for line in self._path.read_text(encoding="utf-8").splitlines():
                # The last line may have been cut by a kill.
                with suppress(ValueError):
                    self._note(*json.loads(line))

    def _note(self, name: str, stamp: list[int]) -> None:
        self._arrived[name] = stamp
        if name in ("", FILE_NAME):
            self.is_under_way = name == ""

    def has(self, name: str) -> bool:
        """Whether a file has arrived as it is now."""
        return self._arrived.get(name) == self.stamp(name)

    def stamp(self, name: str) -> list[int]:
        """Size and time of a file, by which a changed file is recognised."""
        status = (self._root / name).stat()
        return [status.st_size, status.st_mtime_ns]

    def begin(self) -> None:
        """Record that the copy at the address is unfinished."""
        self.add("", [])

    def add(self, name: str, stamp: list[int]) -> None:
        """Record that a file has arrived."""
        with self._lock:
            self._note(name, stamp)
            self._path.parent.mkdir(exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write("\n" + json.dumps([name, stamp]))


def _batches(root: Path, shardset: ShardSet) -> Iterable[list[str]]:
    """List the files in the order in which they must arrive, relative to the shard set."""
    indexes = [f"{stream}/{INDEX}" for stream in shardset.streams]
    shards = [
        f"{stream}/{shard_basename(entry)}"
        for stream in shardset.streams
        for entry in read_entries(root / stream)
    ]
    others = sorted({*list_files(root, shardset.streams)} - {*indexes})
    extra = [name for name in (CHECKSUMS, INDEX_DATABASE) if (root / name).is_file()]
    return [*others, *shards, *extra], indexes, [FILE_NAME]


def _make_folders(remote: str, files: Iterable[str]) -> None:
    """Make the folders that only a plain folder, unlike an object store, must have first."""
    if "://" not in remote:
        for folder in {(Path(remote) / file).parent for file in files}:
            folder.mkdir(parents=True, exist_ok=True)
