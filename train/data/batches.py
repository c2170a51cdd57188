"""Samples made into batches for causal or for masked language modelling."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from mixscale.contracts.errors import UserError
from mixscale.train.data.dataset import SAMPLE_ID, DomainDataset
from mixscale.train.evaluate.loss import IGNORED

Batch = dict[str, torch.Tensor]


class CausalBatches:
    """Batches whose labels are their inputs, padding aside."""

    def __init__(self, dataset: DomainDataset, vocabulary: int) -> None:
        self._dataset = dataset
        self._vocabulary = vocabulary

    def __call__(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Stack samples.

        Returns:
            `input_ids` and `labels`, both (batch, sequence) int64, the labels -100 at padding;
            `attention_mask`, of the same shape and true where there is none; `sample_id`,
            (batch,) int64.

        Raises:
            ShardError: A sample is too short, or a token is not in the vocabulary.
        """
        batch = _stack(samples, self._dataset, self._vocabulary)
        # Composer shifts the labels in place when it evaluates: they need memory of their own.
        labels = batch["input_ids"].masked_fill(~batch["attention_mask"], IGNORED)
        return batch | {"labels": labels}


class MaskedBatches:
    """Batches in which some tokens are hidden and are what is to be predicted.

    As in BERT (Devlin et al., arXiv 1810.04805, section 3.1), of the tokens chosen 80% become the
    mask token, 10% a random token, 10% stay. What is chosen is a function of the seed, the epoch
    and the samples in the batch, and of nothing before it: a resumed run hides the same tokens, and
    a sample that comes again has others hidden (RoBERTa's dynamic masking, arXiv 1907.11692).
    For evaluation it is a function of the sample alone: every run is asked the same.
    """

    def __init__(
        self,
        dataset: DomainDataset,
        tokenizer: PreTrainedTokenizerFast,
        probability: float,
        training: bool,
    ) -> None:
        """Prepare the masking.

        Args:
            dataset: Gives the seed and the epoch.
            tokenizer: Names the mask token and the special tokens, which are never hidden.
            probability: Share of the tokens to choose.
            training: Whether to train on the batches or to evaluate.

        Raises:
            UserError: The tokenizer has no mask token.
        """
        if tokenizer.mask_token is None:
            raise UserError(
                "tokenizer: it has no mask token, which masked language modelling needs; add "
                "`kwargs: {mask_token: <mask>}` under `tokenizer`, and the model gets one token "
                "more than the data holds"
            )
        self._collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=probability)
        self._dataset = dataset
        self._vocabulary = len(tokenizer)
        self._special = torch.tensor(tokenizer.all_special_ids)
        self._training = training

    def __call__(self, samples: Sequence[dict[str, Any]]) -> Batch:
        """Stack samples and hide some of their tokens.

        Returns:
            As `CausalBatches`, but with -100 in `labels` for the tokens that were not chosen.

        Raises:
            ShardError: A sample is too short, or a token is not in the vocabulary.
        """
        batch = _stack(samples, self._dataset, self._vocabulary)
        tokens, ids = batch["input_ids"], batch[SAMPLE_ID].tolist()
        padding = ~batch["attention_mask"]
        if self._training:
            key = f"{self._dataset.shuffle_seed} {self._dataset.next_epoch} {ids}"
            inputs, labels = self._hide(tokens, padding, key)
        else:
            rows = [
                self._hide(row[None], empty[None], f"{number}")
                for row, empty, number in zip(tokens, padding, ids, strict=True)
            ]
            inputs, labels = (torch.cat(pieces) for pieces in zip(*rows, strict=True))
        return batch | {"input_ids": inputs, "labels": labels}

    def _hide(
        self, tokens: torch.Tensor, padding: torch.Tensor, key: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=7).digest(), "little")
        self._collator.generator = torch.Generator().manual_seed(seed)
        special = torch.isin(tokens, self._special) | padding
        return self._collator.torch_mask_tokens(tokens, special_tokens_mask=special)


def predicted_tokens(batch: Batch) -> dict[str, int]:
    """Count the tokens of a batch, and those that its loss is the mean of, as Composer asks."""
    chosen = int((batch["labels"] != IGNORED).sum())
    return {"total": int(batch["attention_mask"].sum()), "loss_generating": chosen}


def tokens_of_texts(batch: Batch) -> dict[str, int]:
    """Count the same for causal models, which do not predict the first token of a sample."""
    chosen = int((batch["labels"][:, 1:] != IGNORED).sum())
    return {"total": int(batch["attention_mask"].sum()), "loss_generating": chosen}


def _stack(samples: Sequence[dict[str, Any]], dataset: DomainDataset, vocabulary: int) -> Batch:
    ids = [sample[SAMPLE_ID] for sample in samples]
    domains = dataset.domain_of(np.array(ids)).tolist()
    read = []
    for number, domain, sample in zip(ids, domains, samples, strict=True):
        try:
            read.append(dataset.read_tokens(sample, domain))
        except ValueError as error:
            raise dataset.unusable(number, str(error)) from error
    rows = np.stack([tokens for tokens, _ in read]).astype(np.int64)
    outside = (rows < 0) | (rows >= vocabulary)
    if outside.any():
        # A GPU would only say "device-side assert triggered".
        row = int(outside.any(axis=1).argmax())
        found = rows[row][outside[row]][0]
        raise dataset.unusable(ids[row], f"token {found} is not in the vocabulary of {vocabulary}")
    tokens = torch.from_numpy(rows)
    used = torch.tensor([count for _, count in read])
    return {
        "input_ids": tokens,
        # Without one, transformers looks for packed positions and builds a full causal mask.
        "attention_mask": torch.arange(tokens.shape[1]) < used[:, None],
        SAMPLE_ID: torch.tensor(ids, dtype=torch.int64),
    }
