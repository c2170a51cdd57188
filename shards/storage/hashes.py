"""Hashes of shards and other files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import xxhash

from mixscale.contracts.errors import UserError

_READ_BYTES = 1 << 22


def hash_names() -> set[str]:
    """Name the hashes that Streaming can check when it downloads a shard."""
    standard = {name for name in hashlib.algorithms_available if hasattr(hashlib, name)}
    return {n for n in standard if not n.startswith("shake_")} | set(xxhash.algorithms_available)


def file_digest(algorithm: str, buffers: Iterable[bytes | memoryview]) -> str:
    """Hash the joined buffers with one of `hash_names`."""
    module = xxhash if algorithm in xxhash.algorithms_available else hashlib
    digest = getattr(module, algorithm)()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hash the bytes of one file.

    Raises:
        UserError: It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: cannot read: {error.strerror}") from error
    return digest.hexdigest()


def combined_sha256(shards: Iterable[tuple[str, str]]) -> str:
    """Hash the names and the SHA-256 of a stream's shards, in order."""
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in shards)
    return hashlib.sha256(lines.encode()).hexdigest()
