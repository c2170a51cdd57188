"""Samples of whatever layout as arrays of tokens of one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from mixscale.contracts.errors import UserError
from mixscale.contracts.shardset import FILE_NAME
from mixscale.train.config import DatasetConfig, StreamConfig
from mixscale.train.data.dataset import SAMPLE_ID, DomainDataset
from mixscale.train.data.memory_mapped import TOKENS

TEXT = "text"
_ENCODINGS = ("int64", "uint32", "uint16", "uint8")
"""Types to try for raw bytes: LLM Foundry's own first, which no other's bytes look like."""
_LOOKED_AT = 8
"""Samples of each domain that tell its layout."""

Tokens = NDArray[np.integer]


class TokenSamples:
    """Turns samples into tokens, as LLM Foundry's text data loader does.

    A sample has a column `text`, which the run's tokenizer turns into tokens, or a column `tokens`
    of an array or of raw bytes. Tokens after the sequence length are cut off; a text with fewer is
    padded, and what is padding is neither seen nor predicted.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        sequence_length: int,
        encodings: Sequence[np.dtype | None],
    ) -> None:
        """Prepare the reading.

        Args:
            tokenizer: Of the run.
            sequence_length: Tokens of each sample.
            encodings: By domain, the type of tokens that are raw bytes.
        """
        self._tokenizer = tokenizer
        self._length = sequence_length
        self._encodings = encodings
        padding = tokenizer.pad_token_id
        if padding is None:
            padding = tokenizer.eos_token_id
        self._padding = padding if isinstance(padding, int) else 0

    def read(self, sample: Mapping[str, Any], domain: int) -> tuple[Tokens, int]:
        """Read one sample.

        Returns:
            Its tokens, (sequence,), and how many of them are no padding.

        Raises:
            ValueError: It has fewer tokens than the sequence, or they are no tokens at all.
        """
        if TEXT in sample:
            return self._padded(self._tokenizer(
                sample[TEXT], truncation=True, max_length=self._length
            )["input_ids"])  # fmt: skip
        tokens = sample[TOKENS]
        if isinstance(tokens, bytes):
            encoding = self._encodings[domain]
            if encoding is None:
                raise ValueError("tokens are raw bytes here, unlike in the first samples")
            tokens = np.frombuffer(tokens, encoding)
        if len(tokens) < self._length:
            raise ValueError(f"{len(tokens)} tokens, fewer than max_seq_len {self._length}")
        return tokens[: self._length], self._length

    def _padded(self, ids: Any) -> tuple[Tokens, int]:
        tokens = np.full(self._length, self._padding, np.int64)
        tokens[: len(ids)] = ids
        return tokens, len(ids)


def read_any_layout(
    dataset: DomainDataset,
    config: DatasetConfig,
    tokenizer: PreTrainedTokenizerFast,
    sequence_length: int,
) -> None:
    """Look at the first samples of every domain, and let the dataset read tokens from all of them.

    Raises:
        UserError: As for `find_encoding`; or a shard set of ours holds longer samples than the run
            takes.
    """
    encodings, texts = [], []
    for domain, first, count in zip(
        dataset.domains, dataset.sample_offset_per_stream, dataset.samples_per_stream, strict=True
    ):
        looked_at = range(int(first), int(first) + min(int(count), _LOOKED_AT))
        samples = [
            {key: value for key, value in dataset[number].items() if key != SAMPLE_ID}
            for number in looked_at
        ]
        encodings.append(
            find_encoding(
                samples, domain, sequence_length, len(tokenizer), config.token_encoding_type
            )
        )
        texts.append(TEXT in samples[0])
        _check_ours(config.streams[domain], samples[0], sequence_length)
    dataset.holds_text = any(texts)
    dataset.read_tokens = TokenSamples(tokenizer, sequence_length, encodings).read


def _check_ours(stream: StreamConfig, sample: Mapping[str, Any], sequence_length: int) -> None:
    """Refuse to cut the samples of a shard set of ours, which are as long as they are meant to be.

    LLM Foundry's loader cuts any that are longer, and drops the rest.
    """
    place = (stream.remote or stream.local or "").removeprefix("file://")
    found = len(sample.get(TOKENS, ()))
    is_ours = "://" not in place and (Path(place).resolve().parent / FILE_NAME).is_file()
    if is_ours and found > sequence_length:
        raise UserError(
            f"max_seq_len: {sequence_length}, but the shards' samples have {found} tokens"
        )


def find_encoding(
    samples: Sequence[Mapping[str, Any]],
    domain: str,
    sequence_length: int,
    vocabulary: int,
    asked: str | None,
) -> np.dtype | None:
    """Look at the first samples of a domain: are they such as can be trained on?

    Args:
        samples: Some.
        domain: Whose.
        sequence_length: Tokens that each must have, at least.
        vocabulary: Number of tokens there are.
        asked: The type of raw bytes, when the config gives it.

    Returns:
        The type of tokens that are raw bytes; None for arrays and texts.

    Raises:
        UserError: There is no column of tokens or text, samples are too short, or the bytes are no
            tokens of the vocabulary in any type.
    """
    columns = [name for name in samples[0] if name in (TEXT, TOKENS)]
    where = f"stream {domain!r}"
    if not columns:
        raise UserError(
            f"{where}: samples have the columns {sorted(samples[0])}; training needs `tokens` "
            "(an array or raw bytes) or `text`"
        )
    kind = samples[0][columns[0] if TEXT not in columns else TEXT]
    if TEXT in columns:
        if not isinstance(kind, str):
            raise UserError(f"{where}: the column `text` holds {type(kind).__name__}, not text")
        return None
    if not isinstance(kind, bytes | np.ndarray):
        raise UserError(
            f"{where}: the column `tokens` holds {type(kind).__name__}; it takes an array or raw "
            "bytes"
        )
    encoding = None
    if isinstance(kind, bytes):
        encoding = _encoding([sample[TOKENS] for sample in samples], where, vocabulary, asked)
    size = 1 if encoding is None else encoding.itemsize
    shortest = min(len(sample[TOKENS]) // size for sample in samples)
    if shortest < sequence_length:
        raise UserError(
            f"max_seq_len: {sequence_length}, but the shards' samples have {shortest} tokens "
            f"({where})"
        )
    return encoding


def _encoding(samples: Sequence[bytes], where: str, vocabulary: int, asked: str | None) -> np.dtype:
    for name in (asked,) if asked else _ENCODINGS:
        dtype = np.dtype(name)
        if all(_are_tokens(sample, dtype, vocabulary) for sample in samples):
            return dtype
    tried = asked or " or ".join(_ENCODINGS)
    raise UserError(
        f"{where}: its bytes, read as {tried}, are not tokens of the vocabulary of {vocabulary}; "
        "is it the tokenizer that the shards were written with? `token_encoding_type` under "
        "`dataset` gives their type"
    )


def _are_tokens(sample: bytes, dtype: np.dtype, vocabulary: int) -> bool:
    if not sample or len(sample) % dtype.itemsize:
        return False
    tokens = np.frombuffer(sample, dtype)
    return bool(tokens.min() >= 0 and tokens.max() < vocabulary)
