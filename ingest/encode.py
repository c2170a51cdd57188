"""Texts to token ids: the fast encoder where it is exact, the reference one where not."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FAST, REFERENCE = "gigatoken", "tokenizers"
_CACHE_BYTES = 192 << 20
"""Memory that the fast encoder may gather before it is made anew."""
_CACHE_PER_BYTE = 10
"""What it was seen to gather for each byte of text without any repeated word, at the worst."""
EncoderName = Literal["gigatoken", "tokenizers"]


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """All that a worker needs to make the encoder."""

    name: EncoderName
    model_path: Path
    """The tokenizer.json."""
    eos_token_id: int
    dtype: str
    """Of the ids: `<u2` or `<u4`."""


class Encoder:
    """Turns UTF-8 texts into ids, each text ended by the end-of-text token."""

    def __init__(self, spec: EncoderSpec) -> None:
        """Load the tokenizer."""
        self._eos = spec.eos_token_id
        self._dtype = np.dtype(spec.dtype)
        model = spec.model_path.read_text(encoding="utf-8")
        self._encode = _ENCODERS[spec.name](model)

    def __call__(self, texts: Sequence[bytes]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Encode texts.

        Args:
            texts: UTF-8, any number.

        Returns:
            The ids of all texts in one run, and (texts,) how many belong to each, the one
            end-of-text token at its end included.
        """
        if not texts:
            return np.empty(0, self._dtype), np.empty(0, np.int64)
        ids, ends = self._encode(texts)
        # Every text's end-of-text token goes behind as many tokens of that kind as texts before.
        eos_places = ends + np.arange(len(texts))
        joined = np.empty(len(ids) + len(texts), self._dtype)
        is_text = np.ones(len(joined), np.bool_)
        is_text[eos_places] = False
        joined[is_text] = ids
        joined[eos_places] = self._eos
        return joined, np.diff(eos_places, prepend=-1)


@functools.lru_cache(maxsize=1)
def load_encoder(spec: EncoderSpec) -> Encoder:
    """Make the encoder once in each process."""
    return Encoder(spec)


def differs(spec: EncoderSpec, texts: Sequence[bytes]) -> int | None:
    """Compare the fast encoder with the reference.

    Returns:
        The number of the first text whose ids differ; nothing when all are equal.
    """
    model = spec.model_path.read_text(encoding="utf-8")
    fast, fast_ends = _ENCODERS[FAST](model)(texts)
    slow, slow_ends = _ENCODERS[REFERENCE](model)(texts)
    fast_parts, slow_parts = np.split(fast, fast_ends), np.split(slow, slow_ends)
    for number in range(len(texts)):
        if not np.array_equal(fast_parts[number], slow_parts[number]):
            return number
    return None


def _fast_encoder(model: str) -> Any:
    import gigatoken

    # A text that spells a special token is data; without the list nothing can match it.
    settings = json.loads(model)
    settings["added_tokens"] = [t for t in settings["added_tokens"] if not t["special"]]
    model = json.dumps(settings)
    tokenizer = gigatoken.Tokenizer.from_json(model)
    memory = _Growth(_CACHE_BYTES)

    def encode(texts: Sequence[bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        nonlocal tokenizer
        if memory.is_over(sum(map(len, texts))):
            # gigatoken remembers every word it meets and never forgets one.
            tokenizer = gigatoken.Tokenizer.from_json(model)
            memory.restart()
        layout: Any = tokenizer.encode_batch(list(texts), parallel=False).layout
        offsets = np.asarray(layout.offsets.data)
        return np.asarray(layout.content.data)[offsets[0] : offsets[-1]], offsets[1:] - offsets[0]

    return encode


class _Growth:
    """Watches how much memory this process has taken since the start."""

    _STATISTICS = Path("/proc/self/statm")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.restart()

    def restart(self) -> None:
        """Count from here."""
        self._start = self._resident()
        self._text_bytes = 0

    def is_over(self, text_bytes: int) -> bool:
        """Tell whether the limit is passed, with so much text to come."""
        self._text_bytes += text_bytes
        if self._start is None:
            return self._text_bytes * _CACHE_PER_BYTE > self._limit
        resident = self._resident() or 0
        return resident - self._start > self._limit

    def _resident(self) -> int | None:
        if not self._STATISTICS.exists():
            return None
        return int(self._STATISTICS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _reference_encoder(model: str) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(texts: Sequence[bytes]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        decoded = [text.decode("utf-8") for text in texts]
        encodings = tokenizer.encode_batch_fast(decoded, add_special_tokens=False)
        parts = [np.asarray(item.ids, np.uint32) for item in encodings]
        return np.concatenate(parts), np.cumsum([len(part) for part in parts], dtype=np.int64)

    return encode


_ENCODERS = {FAST: _fast_encoder, REFERENCE: _reference_encoder}
