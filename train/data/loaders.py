"""The data loaders of a run."""

from __future__ import annotations

import torch
from composer.core import DataSpec, Evaluator
from composer.utils import dist
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from mixscale.contracts.errors import UserError
from mixscale.train.config import LOSS_METRIC, MASKED, ONLY_LABEL, LoaderConfig, RunConfig
from mixscale.train.data.batches import (
    Batch,
    CausalBatches,
    MaskedBatches,
    predicted_tokens,
    tokens_of_texts,
)
from mixscale.train.data.dataset import DomainDataset
from mixscale.train.data.streams import TRAIN_LOADER, build_dataset, check_batches
from mixscale.train.data.token_samples import read_any_layout


def train_loader(config: RunConfig, tokenizer: PreTrainedTokenizerFast) -> DataSpec:
    """Make the training data loader of a run.

    Raises:
        UserError: A stream's files are missing, the batch does not divide over the devices, or the
            tokenizer lacks a mask token that the model needs.
    """
    world = dist.get_world_size()
    if config.global_train_batch_size % world:
        raise UserError(
            f"global_train_batch_size: {config.global_train_batch_size} does not divide over "
            f"{world} devices; use a multiple of {world}"
        )
    replication = config.train_loader.dataset.replication or 1
    if world % replication:
        raise UserError(
            f"train_loader.dataset.replication: {replication} does not divide the {world} devices"
        )
    batch_size = config.global_train_batch_size // world
    return _data_spec(config, config.train_loader, batch_size, tokenizer, training=True)


def evaluators(config: RunConfig, tokenizer: PreTrainedTokenizerFast) -> list[Evaluator]:
    """Make one evaluator for each validation domain.

    Raises:
        UserError: As for `train_loader`.
    """
    return [
        Evaluator(
            label=loader.label or ONLY_LABEL,
            dataloader=_data_spec(
                config, loader, config.device_eval_batch_size, tokenizer, training=False
            ),
            metric_names=[LOSS_METRIC],
        )
        for loader in config.eval_loader
    ]


def dataset_of(spec: DataSpec) -> DomainDataset:
    """Get the dataset behind a data loader made here."""
    loader = spec.dataloader
    assert isinstance(loader, DataLoader)
    assert isinstance(loader.dataset, DomainDataset)
    return loader.dataset


def _data_spec(
    config: RunConfig,
    loader: LoaderConfig,
    batch_size: int,
    tokenizer: PreTrainedTokenizerFast,
    *,
    training: bool,
) -> DataSpec:
    dataset = build_dataset(loader.dataset, batch_size)
    read_any_layout(dataset, loader.dataset, tokenizer, config.max_seq_len)
    place = TRAIN_LOADER if training else f"eval_loader {loader.label or ONLY_LABEL!r}"
    check_batches(dataset, loader, batch_size, place)
    masked = config.model.name == MASKED
    collate = (
        MaskedBatches(dataset, tokenizer, loader.dataset.mlm_probability or 0.15, training)
        if masked
        else CausalBatches(dataset, len(tokenizer))
    )
    count = tokens_of_texts if dataset.holds_text else _all_tokens
    # PyTorch refuses these without worker processes.
    with_workers = (
        {
            "prefetch_factor": loader.prefetch_factor,
            "persistent_workers": loader.persistent_workers is not False,
            "timeout": loader.timeout,
        }
        if loader.num_workers
        else {}
    )
    dataloader = DataLoader(
        dataset,
        batch_size=batch_size,
        collate_fn=collate,
        drop_last=loader.drop_last,
        num_workers=loader.num_workers,
        pin_memory=torch.cuda.is_available() if loader.pin_memory is None else loader.pin_memory,
        **with_workers,
    )
    return DataSpec(
        dataloader,
        get_num_samples_in_batch=lambda batch: len(batch["input_ids"]),
        get_num_tokens_in_batch=predicted_tokens if masked else count,
    )


def _all_tokens(batch: Batch) -> int:
    return batch["input_ids"].numel()
