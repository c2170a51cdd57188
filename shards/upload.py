"""Copies a finished shard set to an object store with Streaming's own uploader."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contracts.atomic import TEMPORARY_PREFIX
from contracts.errors import UserError
from contracts.shardset import FILE_NAME, ShardSet, read_shardset
from shards.index import FILE_NAME as INDEX_DATABASE
from shards.mds import INDEX, read_entries, shard_basename

_THREADS = 8
_RETRIES = 4


def upload(folder: str | Path, remote: str) -> int:
    """Copy a shard set to a remote folder; `shardset.json` arrives last and says that it is whole.

    Args:
        folder: The shard set; its runs and fits stay here.
        remote: An address that Streaming can write to (s3://, gs://, oci://, azure:// …), or a
            folder. `remote/<domain>` with a split is what a run's streams then read.

    Returns:
        The number of files copied.

    Raises:
        UserError: The folder is not a finished shard set, or Streaming knows no such address.
    """
    from streaming.base.storage.upload import UPLOADERS, CloudUploader

    root = Path(folder).resolve()
    shardset = read_shardset(root)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            uploader = CloudUploader.get((scratch, remote), keep_local=True, retry=_RETRIES)
        except ValueError as error:
            schemes = ", ".join(f"{scheme}://" for scheme in UPLOADERS if scheme.isalnum())
            raise UserError(
                f"{remote}: {error} Streaming writes to {schemes} or a folder"
            ) from error
        # Streaming wants its local folder to be empty at first.
        for path in root.iterdir():
            (Path(scratch) / path.name).symlink_to(path)
        count = 0
        with ThreadPoolExecutor(_THREADS) as pool:
            for batch in _batches(root, shardset):
                _make_folders(remote, batch)
                count += sum(1 for _ in pool.map(uploader.upload_file, batch))
    return count


def _batches(root: Path, shardset: ShardSet) -> Iterable[list[str]]:
    """List the files in the order in which they must arrive, relative to the shard set."""
    streams = [f"{domain}/{split}" for domain, s in shardset.domains.items() for split in s]
    shards = [
        f"{stream}/{shard_basename(entry)}"
        for stream in streams
        for entry in read_entries(root / stream)
    ]
    folders = ("documents", shardset.tokenizer.path)
    whole = [path for name in folders for path in sorted((root / name).rglob("*"))]
    others = [
        path.relative_to(root).as_posix()
        for path in whole
        if path.is_file() and not path.name.startswith(TEMPORARY_PREFIX)
    ]
    database = [INDEX_DATABASE] if (root / INDEX_DATABASE).is_file() else []
    return [*others, *shards, *database], [f"{s}/{INDEX}" for s in streams], [FILE_NAME]


def _make_folders(remote: str, files: Iterable[str]) -> None:
    """Make the folders that only a plain folder, unlike an object store, must have first."""
    if "://" not in remote:
        for folder in {(Path(remote) / file).parent for file in files}:
            folder.mkdir(parents=True, exist_ok=True)
