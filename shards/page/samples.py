"""The beginnings of documents, read back from the shards as training will see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixscale.contracts.config import validate
from mixscale.contracts.shardset import TRAIN, ShardSet
from mixscale.shards.page.queries import Kept
from mixscale.shards.storage.compression import decompress
from mixscale.shards.storage.mds import MdsOptions, shard_header, token_dtype
from mixscale.shards.storage.mds_index import IndexFile, ShardEntry, read_entries

_MOST_TOKENS = 600
"""Of a document; a page shows no more of it."""


class TextReader:
    """Reads the beginnings of training documents of one shard set."""

    def __init__(self, root: Path, shardset: ShardSet) -> None:
        """Take the folder and its summary."""
        from tokenizers import Tokenizer

        self._root = root
        self._shardset = shardset
        path = root / shardset.tokenizer.path / "tokenizer.json"
        self._tokenizer = Tokenizer.from_file(str(path))
        self._entries: dict[str, tuple[ShardEntry, ...]] = {}
        self._last: tuple[Path, bytes] | None = None

    def text(self, document: Kept) -> str | None:
        """Decode the beginning of a document; nothing of one that no shard holds."""
        ids = self._ids(document)
        if ids is None:
            return None
        tokenizer = self._shardset.tokenizer
        around = {tokenizer.eos_token_id, tokenizer.bos_token_id}
        plain = [token for token in ids.tolist() if token not in around]
        # Where the tokens end, a character may not be whole.
        return self._tokenizer.decode(plain, skip_special_tokens=False).rstrip("\ufffd")

    def is_whole(self, document: Kept) -> bool:
        """Whether a document is short enough to be shown as a whole."""
        return document.tokens <= _MOST_TOKENS

    def _ids(self, document: Kept) -> np.ndarray[tuple[int], np.dtype[np.unsignedinteger]] | None:
        """Read the first ids of a document, as far as its first shard holds them."""
        first = 0
        for entry in self._stream(document.domain):
            if document.first_sample < first + entry.samples:
                return self._in_shard(document, entry, first)
            first += entry.samples
        return None

    def _stream(self, domain: str) -> tuple[ShardEntry, ...]:
        if domain not in self._entries:
            folder = self._root / domain / TRAIN
            plain = {"shards": read_entries(folder)}
            self._entries[domain] = validate(plain, IndexFile, f"{domain}/{TRAIN}").shards
        return self._entries[domain]

    def _in_shard(
        self, document: Kept, entry: ShardEntry, first: int
    ) -> np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]:
        length = self._shardset.sequence_length
        dtype = token_dtype(self._shardset.tokenizer.vocab_size)
        options = MdsOptions(
            size_limit=entry.size_limit, compression=entry.compression, hashes=entry.hashes
        )
        start = (document.first_sample - first) * length + document.first_offset
        count = min(document.tokens, _MOST_TOKENS, entry.samples * length - start)
        header = len(shard_header(entry.samples, length, dtype, options))
        place, size = header + start * dtype.itemsize, count * dtype.itemsize
        return np.frombuffer(self._bytes(document.domain, entry, place, size), dtype)

    def _bytes(self, domain: str, entry: ShardEntry, place: int, size: int) -> bytes:
        path = self._root / domain / TRAIN / entry.file.basename
        if entry.compression is None:
            with path.open("rb") as stream:
                stream.seek(place)
                return stream.read(size)
        if self._last is None or self._last[0] != path:
            self._last = path, decompress(entry.compression, path.read_bytes())
        return self._last[1][place : place + size]
