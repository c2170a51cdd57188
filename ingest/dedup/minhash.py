"""MinHash signatures of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.corpus import Near
from mixscale.ingest.dedup.shingles import shingle_hashes

Signatures = NDArray[np.uint32]
DTYPE = np.dtype("<u4")
MAX_CHARACTERS = 1 << 21
"""Longer texts are compared by so many characters, which bounds the memory."""
_CHUNK_CHARACTERS, _CHUNK_TEXTS = 1 << 17, 1024
_SEED = 17
_NO_WORDS = np.uint32(0xFFFFFFFF)


def sign(texts: Sequence[bytes], near: Near) -> Signatures:
    """Sign texts so that equal places are as frequent as their shared runs of words.

    The share of equal places in two signatures estimates the Jaccard similarity of the two sets
    of runs (Broder 1997), with a standard error of at most `0.5 / sqrt(permutations)`.

    Args:
        texts: UTF-8, any number.
        near: The length of the runs and of the signatures.

    Returns:
        (texts, permutations); a text without words is signed with the largest number throughout.
    """
    signed = [_sign(chunk, near) for chunk in _chunks(texts)]
    return np.concatenate([np.empty((0, near.permutations), DTYPE), *signed])


def read_signatures(path: Path, near: Near) -> Signatures:
    """Map the signatures of a unit into memory, (texts, permutations)."""
    if path.stat().st_size == 0:
        return np.empty((0, near.permutations), DTYPE)
    return np.memmap(path, DTYPE, mode="r").reshape(-1, near.permutations)


def have_words(signatures: Signatures) -> NDArray[np.bool_]:
    """Tell the signatures of texts with words, (texts,), from those without."""
    return (signatures != _NO_WORDS).any(axis=1)


def _sign(texts: Sequence[str], near: Near) -> Signatures:
    from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]  # compiled, no stubs

    hashes, offsets = shingle_hashes(texts, near.words)
    matrix: Any = RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets.astype(np.uint64), near.permutations, _SEED
    )
    return np.array(matrix.to_rows(), DTYPE)


def _chunks(texts: Sequence[bytes]) -> Iterator[list[str]]:
    """Decode the texts, some at a time."""
    chunk: list[str] = []
    size = 0
    for data in texts:
        # At most four bytes a character.
        text = data[: 4 * MAX_CHARACTERS].decode("utf-8", "ignore")[:MAX_CHARACTERS]
        if chunk and (size + len(text) > _CHUNK_CHARACTERS or len(chunk) == _CHUNK_TEXTS):
            yield chunk
            chunk, size = [], 0
        chunk.append(text)
        size += len(text)
    if chunk:
        yield chunk
