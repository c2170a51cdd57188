"""A byte-level BPE tokenizer trained on texts of the corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mixscale.contracts.errors import UserError
from mixscale.ingest.corpus import TrainTokenizer
from mixscale.ingest.tokenize.tokenizer_files import save_trained

_PIECE_CHARACTERS = 1 << 20


def train_tokenizer(
    config: TrainTokenizer,
    eos_token: str,
    texts: Iterable[bytes],
    folder: Path,
    bos_token: str | None = None,
) -> None:
    """Train a tokenizer and write it as a folder for transformers.

    Args:
        config: The settings.
        eos_token: The end-of-text token.
        texts: UTF-8, in an order that is always the same.
        folder: Where it goes; what is there is replaced.
        bos_token: The beginning-of-text token, if there is to be one.

    Raises:
        UserError: The texts give too few tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=list(dict.fromkeys([eos_token, bos_token or eos_token])),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_pieces(texts), trainer)
    found = tokenizer.get_vocab_size()
    if found < config.vocab_size:
        raise UserError(
            f"tokenizer.train.vocab_size: the sample gives only {found} of {config.vocab_size} "
            f"tokens; use a vocab_size of at most {found}, or more text"
        )
    save_trained(tokenizer, folder, eos_token, bos_token)


def _pieces(texts: Iterable[bytes]) -> Iterator[str]:
    """Cut long texts: the trainer takes some seventy times the size of the longest one."""
    for data in texts:
        text = data.decode("utf-8")
        for start in range(0, len(text), _PIECE_CHARACTERS):
            yield text[start : start + _PIECE_CHARACTERS]
