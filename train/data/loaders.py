"""The data loaders of a run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from composer.core import DataSpec, Evaluator
from composer.utils import dist
from filelock import FileLock
from streaming import Stream
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from mixscale.contracts.errors import UserError
from mixscale.train.config import (
    MASKED,
    PAIRED,
    DatasetConfig,
    LoaderConfig,
    RunConfig,
    StreamConfig,
)
from mixscale.train.data.batches import CausalBatches, MaskedBatches, predicted_tokens
from mixscale.train.data.dataset import DomainDataset

LOSS_METRIC = "TokenLoss"


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
    batch_size = config.global_train_batch_size // world
    return _data_spec(config, config.train_loader, batch_size, tokenizer, training=True)


def evaluators(config: RunConfig, tokenizer: PreTrainedTokenizerFast) -> list[Evaluator]:
    """Make one evaluator for each validation domain.

    Raises:
        UserError: As for `train_loader`.
    """
    return [
        Evaluator(
            label=loader.label or "validation",
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
    dataset = _dataset(loader.dataset, batch_size, config.max_seq_len)
    masked = config.model.name == MASKED
    collate = (
        MaskedBatches(dataset, tokenizer, loader.dataset.mlm_probability or 0.15, training)
        if masked
        else CausalBatches(dataset, len(tokenizer))
    )
    # PyTorch refuses these two without worker processes.
    with_workers = (
        {"prefetch_factor": loader.prefetch_factor, "persistent_workers": True}
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
        timeout=loader.timeout,
        **with_workers,
    )
    return DataSpec(
        dataloader,
        get_num_samples_in_batch=lambda batch: len(batch["input_ids"]),
        get_num_tokens_in_batch=(
            predicted_tokens if masked else lambda batch: batch["input_ids"].numel()
        ),
    )


def _dataset(config: DatasetConfig, batch_size: int, sequence_length: int) -> DomainDataset:
    for name, stream in config.streams.items():
        _check_stream(name, stream)
    paired = config.shuffle and config.shuffle_algo == PAIRED
    with _one_run_at_a_time(), _mistakes_of(config):
        dataset = DomainDataset(
            domains=tuple(config.streams),
            paired=paired,
            streams=[_stream(stream) for stream in config.streams.values()],
            batch_size=batch_size,
            epoch_size=config.epoch_size,
            shuffle=config.shuffle and not paired,
            shuffle_algo="py1e" if paired else config.shuffle_algo,
            # The paired order is global: canonical nodes would cut it into pieces.
            num_canonical_nodes=1 if paired else config.num_canonical_nodes,
            **config.model_dump(
                include={
                    "shuffle_seed", "shuffle_block_size", "partition_algo", "sampling_method",
                    "sampling_granularity", "batching_method", "predownload", "cache_limit",
                    "download_retry", "download_timeout", "validate_hash", "keep_zip",
                }
            ),
        )  # fmt: skip
    _check_length(dataset, sequence_length)
    return dataset


def _one_run_at_a_time() -> contextlib.AbstractContextManager[object]:
    """Keep runs that start at the same moment on one machine out of each other's shared memory.

    Streaming picks the next free prefix without a lock. The first process of a run takes one for
    all of the run, since they wait for each other while they pick.
    """
    if dist.get_local_rank() != 0:
        return contextlib.nullcontext()
    return FileLock(Path(tempfile.gettempdir()) / "mixscale-streaming.lock")


@contextlib.contextmanager
def _mistakes_of(config: DatasetConfig) -> Iterator[None]:
    """Turn what Streaming says of places it cannot use into a message that names them."""
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        remotes = [stream.remote for stream in config.streams.values() if stream.remote]
        places = f" (remote: {', '.join(remotes)})" if remotes else ""
        raise UserError(f"streams {list(config.streams)}{places}: {error}") from error


def _stream(config: StreamConfig) -> Stream:
    arguments = config.model_dump(exclude_none=True)
    if config.remote is not None:
        # Streaming takes a folder as it is, but not as an address.
        arguments["remote"] = config.remote.removeprefix("file://")
    return Stream(**arguments)


def _check_stream(name: str, stream: StreamConfig) -> None:
    if stream.remote is not None or stream.local is None:
        return
    index = Path(stream.local, stream.split or "", "index.json")
    if not index.is_file():
        raise UserError(
            f"stream {name!r}: {index} is missing. Relative paths count from the current folder "
            f"({Path.cwd()}); run from the folder they are meant for, or build the shard set first"
        )


def _check_length(dataset: DomainDataset, sequence_length: int) -> None:
    if not dataset.num_samples:
        raise UserError(f"streams {list(dataset.domains)}: no samples")
    for domain, samples in zip(dataset.domains, dataset.samples_per_stream, strict=True):
        if not samples:
            raise UserError(f"stream {domain!r}: no samples; give it more text or leave it out")
    found = len(dataset[0]["tokens"])
    if found != sequence_length:
        raise UserError(
            f"max_seq_len: {sequence_length}, but the shards' samples have {found} tokens"
        )
