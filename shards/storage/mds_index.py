"""`index.json`, which lists the shards of an MDS stream and makes a folder one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.config import Config
from mixscale.contracts.errors import UserError
from mixscale.shards.storage.hashes import combined_sha256, file_sha256

INDEX = "index.json"


class StoredFile(Config):
    """One file of a shard, as it is or compressed."""

    basename: str
    bytes: int = Field(ge=0)
    hashes: dict[str, str]
    """By algorithm."""


class ShardEntry(Config):
    """One shard; the keys are Streaming's."""

    samples: int = Field(ge=0)
    raw_data: StoredFile
    zip_data: StoredFile | None
    """The compressed file, which then is the one on disk."""
    version: int
    format: str
    compression: str | None
    hashes: tuple[str, ...]
    size_limit: int
    """Bytes of a shard before compression."""
    column_names: tuple[str, ...]
    column_encodings: tuple[str, ...]
    column_sizes: tuple[int, ...]

    @property
    def file(self) -> StoredFile:
        """The file on disk."""
        return self.zip_data or self.raw_data


class IndexFile(Config):
    """The whole `index.json`."""

    version: int = 2
    shards: tuple[ShardEntry, ...]


def finish_stream(folder: str | Path, entries: Sequence[dict[str, Any]]) -> Path:
    """Write index.json, whose presence makes the folder a stream; no entries is an empty stream.

    Args:
        folder: The folder of the stream.
        entries: What `write_shard` returned for every shard, in the order of their numbers.
    """
    path = Path(folder) / INDEX
    with atomic_write(path) as stream:
        stream.write(index_json(entries))
    return path


def index_json(entries: Sequence[dict[str, Any]]) -> str:
    """Build the text of index.json."""
    return json.dumps({"version": 2, "shards": list(entries)}, sort_keys=True)


def read_entries(folder: str | Path) -> list[dict[str, Any]]:
    """Read the entries of index.json.

    Raises:
        UserError: The stream has no index.json that can be read.
    """
    path = Path(folder) / INDEX
    try:
        return json.loads(path.read_text(encoding="utf-8"))["shards"]
    except OSError as error:
        raise UserError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the index of an MDS stream ({error})") from error


def shard_basename(entry: dict[str, Any]) -> str:
    """Name the file on disk that an entry of index.json describes."""
    return (entry["zip_data"] or entry["raw_data"])["basename"]


def stream_sha256(folder: str | Path) -> str:
    """Hash the shards of a stream: SHA-256 over one line of name and file SHA-256 for each.

    Raises:
        UserError: index.json or a shard cannot be read.
    """
    names = [shard_basename(entry) for entry in read_entries(folder)]
    return combined_sha256((name, file_sha256(Path(folder) / name)) for name in names)
