"""`files.sha256`: the hashes of all files of a shard set but the shards and the index.

The file has the form that `sha256sum --check` reads. The shards are hashed in `shardset.json`, one
hash for each stream, and so is this file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mixscale.contracts.atomic import TEMPORARY_PREFIX, atomic_write
from mixscale.contracts.errors import UserError
from mixscale.shards.storage.hashes import file_sha256
from mixscale.shards.storage.mds_index import INDEX

FILE_NAME = "files.sha256"
_FOLDERS = ("documents", "remainders", "signatures", "tokenizer")
_FILES = ("inputs.json",)
_THREADS = min(4, os.cpu_count() or 1)


def write_checksums(
    root: Path, streams: Iterable[str], known: Mapping[str, str] | None = None
) -> str:
    """Hash the files, write the list and hash that, too.

    Args:
        root: The shard set.
        streams: The folders of its streams, relative to it.
        known: The hashes of files whose writers have hashed them, by path.
    """
    names = list_files(root, streams)
    hashes = {name: (known or {}).get(str(root / name)) for name in names}
    unknown = [name for name, sha256 in hashes.items() if sha256 is None]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda name: file_sha256(root / name), unknown)
        hashes.update(zip(unknown, found, strict=True))
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items())
    with atomic_write(root / FILE_NAME) as stream:
        stream.write(text)
    return hashlib.sha256(text.encode()).hexdigest()


def list_files(root: Path, streams: Iterable[str]) -> list[str]:
    """List the files that should be hashed, relative to the shard set."""
    found = [path for folder in _FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    found += [root / stream / INDEX for stream in streams]
    found += [root / name for name in _FILES if (root / name).is_file()]
    names = (path.relative_to(root).as_posix() for path in found)
    return sorted(n for n in names if not n.rpartition("/")[2].startswith(TEMPORARY_PREFIX))


def checksum_problems(root: Path, sha256: str, streams: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Compare the files with the list, and the list with its hash.

    Args:
        root: The shard set.
        sha256: The hash of the list.
        streams: The folders of its streams, relative to it.

    Yields:
        A file, relative to the shard set, and what is wrong with it.
    """
    try:
        data = (root / FILE_NAME).read_bytes()
    except OSError as error:
        yield FILE_NAME, f"cannot read: {error.strerror}"
        return
    if hashlib.sha256(data).hexdigest() != sha256:
        yield FILE_NAME, "damaged: its sha256 is not that in shardset.json"
        return
    known = dict(line.split("  ", 1)[::-1] for line in data.decode().splitlines())
    for name in list_files(root, streams):
        if name not in known:
            yield name, f"extra file, not in {FILE_NAME}"
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from filter(None, pool.map(lambda item: _problem(root, *item), known.items()))


def _problem(root: Path, name: str, sha256: str) -> tuple[str, str] | None:
    try:
        found = file_sha256(root / name)
    except UserError as error:
        return name, str(error.__cause__ or error)
    return None if found == sha256 else (name, f"damaged: sha256 is {found}, expected {sha256}")
