"""Token samples read from memory-mapped MDS shards."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from streaming.base.format.base.reader import Reader
from streaming.base.format.mds.reader import MDSReader

TOKENS = "tokens"
_FIXED_LENGTH = re.compile(r"ndarray:(u?int(?:16|32|64)):\d+")


class MemoryMappedShard:
    """One shard that stays open.

    Streaming opens, seeks and closes the file for every sample, which for short samples takes
    longer than reading them. The layout is MDS: the number of samples, the offset of each and the
    end of the last, all uint32; a header; the samples.
    """

    def __init__(self, path: Path, dtype: np.dtype, samples: int) -> None:
        """Memory-map the file.

        Raises:
            FileNotFoundError: It is not there (any more).
            ValueError: Its length is not the one that its own index gives.
        """
        content = np.memmap(path, mode="r", dtype=np.uint8)
        self._content = content
        self._dtype = dtype
        self._offsets = content[4 : 4 * (samples + 2)].view(np.uint32)
        if len(self._offsets) < samples + 1 or int(self._offsets[samples]) != len(content):
            raise ValueError(f"the file has {len(content)} bytes, not those of {samples} samples")

    def __getitem__(self, row: int) -> NDArray[np.integer]:
        """View the tokens of one sample, (sequence,)."""
        return self._content[self._offsets[row] : self._offsets[row + 1]].view(self._dtype)


def memory_map(reader: Reader) -> MemoryMappedShard | None:
    """Memory-map the shard of one of Streaming's readers.

    Returns:
        None when it holds anything but one column of tokens of one length: then Streaming reads it.

    Raises:
        FileNotFoundError: The file is not there (any more).
        ValueError: It is damaged.
    """
    if not isinstance(reader, MDSReader) or reader.column_names != [TOKENS]:
        return None
    encoding = _FIXED_LENGTH.fullmatch(reader.column_encodings[0])
    if encoding is None:
        return None
    path = Path(reader.dirname, reader.split, reader.raw_data.basename)
    return MemoryMappedShard(path, np.dtype(encoding[1]), reader.samples)
