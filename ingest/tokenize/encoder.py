"""Texts to token ids: the fast encoder where it is exact, the reference one where not."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from mixscale.ingest.tokenize.proven import EncodeTexts, ProvenTexts, model_settings

_CACHE_BYTES = 192 << 20
"""Memory that the fast encoder may take before it is made anew."""
_CACHE_PER_BYTE = 10
"""What it takes for each byte of text without any repeated word, as measured, at the worst."""
EncoderName = Literal["gigatoken", "tokenizers"]
FAST: EncoderName = "gigatoken"
REFERENCE: EncoderName = "tokenizers"


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """All that a worker needs to make the encoder."""

    name: EncoderName
    model_path: Path
    """The tokenizer.json."""
    eos_token_id: int
    dtype: str
    """Of the ids: `<u2` or `<u4`."""
    bos_token_id: int | None = None
    """What every text begins with, if anything."""


class Encoder:
    """Turns UTF-8 texts into ids, each between the tokens that texts begin and end with."""

    def __init__(self, spec: EncoderSpec) -> None:
        """Load the tokenizer."""
        self._eos = np.array([spec.eos_token_id], np.uint32)
        begin = [] if spec.bos_token_id is None else [spec.bos_token_id]
        self._bos = np.array(begin, np.uint32)
        self._dtype = np.dtype(spec.dtype)
        self._encode = _ENCODERS[spec.name](spec.model_path.read_text(encoding="utf-8"))

    def __call__(self, texts: Sequence[bytes]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Encode texts.

        Args:
            texts: UTF-8, any number.

        Returns:
            The ids of all texts in one run, and (texts,) how many belong to each, the one
            end-of-text token at its end and what it begins with included.
        """
        encoded = self._encode(texts)
        counts = np.fromiter(map(len, encoded), np.int64, len(encoded)) + 1 + len(self._bos)
        joined = np.empty(counts.sum(), self._dtype)
        if encoded:
            begin = [self._bos] if len(self._bos) else []
            ended = [run for ids in encoded for run in (*begin, ids, self._eos)]
            np.concatenate(ended, out=joined, casting="same_kind")
        return joined, counts


@functools.lru_cache(maxsize=2)
def load_encoder(spec: EncoderSpec) -> Encoder:
    """Make the encoder once in each process."""
    return Encoder(spec)


def load_encoders(spec: EncoderSpec) -> None:
    """Make both encoders in this process, so that processes which are copies of it have them."""
    load_encoder(replace(spec, name=REFERENCE))
    # What it cannot read, the check will find out and say.
    with contextlib.suppress(Exception):
        load_encoder(replace(spec, name=FAST))


def first_difference(spec: EncoderSpec, texts: Sequence[bytes]) -> int | None:
    """Compare the fast encoder with the reference.

    Returns:
        The number of the first text whose ids differ; nothing when all are equal.
    """
    fast, slow = (load_encoder(replace(spec, name=name))(texts) for name in (FAST, REFERENCE))
    fast_ids, slow_ids = (np.split(ids, np.cumsum(counts)) for ids, counts in (fast, slow))
    for number in range(len(texts)):
        if not np.array_equal(fast_ids[number], slow_ids[number]):
            return number
    return None


def _fast_encoder(model: str) -> EncodeTexts:
    """Encode by gigatoken what is proven equal, and all other texts by the reference."""
    fast_encoder = functools.cache(_gigatoken_encoder)
    guard = ProvenTexts(model, lambda model: (fast_encoder(model), _reference_encoder(model)))
    fast = fast_encoder(model)

    def encode(texts: Sequence[bytes]) -> list[NDArray[np.uint32]]:
        others = guard.unproven(texts)
        if not others:
            return fast(texts)
        is_other = set(others)
        fast_ids = iter(fast([text for n, text in enumerate(texts) if n not in is_other]))
        other_ids = iter(_reference_encoder(model)([texts[n] for n in others]))
        return [next(other_ids if n in is_other else fast_ids) for n in range(len(texts))]

    return encode


def _gigatoken_encoder(model: str) -> EncodeTexts:
    import gigatoken

    # A text that spells a special token is data; without the list nothing can match it.
    settings = model_settings(model)
    plain = [token for token in settings["added_tokens"] if not token["special"]]
    plain_model = orjson.dumps({**settings, "added_tokens": plain})
    tokenizer = gigatoken.Tokenizer.from_json(plain_model)
    memory = _MemoryGrowth(_CACHE_BYTES)

    def encode(texts: Sequence[bytes]) -> list[NDArray[np.uint32]]:
        nonlocal tokenizer
        if memory.exceeds_limit(sum(map(len, texts))):
            # gigatoken remembers every word it meets and never forgets one.
            tokenizer = gigatoken.Tokenizer.from_json(plain_model)
            memory.restart()
        # As fast as encode_batch, which imports awkward: half a second in every process.
        return [tokenizer.encode(text) for text in texts]

    return encode


class _MemoryGrowth:
    """Watches how much memory this process has taken since the start."""

    _STATISTICS = Path("/proc/self/statm")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.restart()

    def restart(self) -> None:
        """Count from here."""
        self._start = self._resident()
        self._text_bytes = 0

    def exceeds_limit(self, text_bytes: int) -> bool:
        """Return whether the limit is passed, with so much text to come."""
        self._text_bytes += text_bytes
        if self._start is None:
            return self._text_bytes * _CACHE_PER_BYTE > self._limit
        resident = self._resident() or 0
        return resident - self._start > self._limit

    def _resident(self) -> int | None:
        if not self._STATISTICS.exists():
            return None
        return int(self._STATISTICS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@functools.lru_cache(maxsize=2)
def reference_tokenizer(model: str) -> Any:
    """Load a tokenizer.json as `tokenizers` does; a text that spells a special token is data."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _reference_encoder(model: str) -> EncodeTexts:
    tokenizer = reference_tokenizer(model)

    def encode(texts: Sequence[bytes]) -> list[NDArray[np.uint32]]:
        decoded = [text.decode("utf-8") for text in texts]
        encodings = tokenizer.encode_batch_fast(decoded, add_special_tokens=False)
        return [np.asarray(item.ids, np.uint32) for item in encodings]

    return encode


_ENCODERS: dict[EncoderName, Callable[[str], EncodeTexts]] = {
    FAST: _fast_encoder,
    REFERENCE: _reference_encoder,
}
