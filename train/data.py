"""Streaming datasets whose batches say which sample, hence which domain, each row is."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from composer.core import DataSpec, Evaluator
from composer.utils import dist
from filelock import FileLock
from numpy.typing import NDArray
from streaming import Stream, StreamingDataset
from torch.utils.data import DataLoader

from contracts.errors import UserError
from train.config import PAIRED, DatasetConfig, LoaderConfig, RunConfig, StreamConfig
from train.order import draw_order, interleave

SAMPLE_ID = "sample_id"
LOSS_METRIC = "TokenLoss"


class DomainDataset(StreamingDataset):
    """A StreamingDataset that knows its domains, and whose order can be paired between runs.

    With `shuffle_algo: paired` only the choice and the order of samples is ours; partitioning over
    nodes, ranks and workers, downloading and resumption stay Streaming's.
    """

    def __init__(self, domains: Sequence[str], paired: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.domains = tuple(domains)
        self.paired = paired

    def resample_streams(
        self, epoch: int, stream_id: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Choose and order the samples of an epoch.

        Returns:
            Sizes of the units to shuffle (one, as nothing is left to shuffle), and the sample
            numbers in training order.
        """
        if not self.paired:
            return super().resample_streams(epoch, stream_id)
        counts = [int(stream.choose) for stream in self.streams]
        drawn = [
            offset + draw_order(domain, int(size), count, self.shuffle_seed, epoch)
            for domain, offset, size, count in zip(
                self.domains,
                self.sample_offset_per_stream,
                self.samples_per_stream,
                counts,
                strict=True,
            )
        ]
        order = interleave(self.domains, counts, self.shuffle_seed, epoch)
        return np.array([len(order)], np.int64), np.concatenate(drawn)[order]

    def get_item(self, sample_id: int, retry: int = 7) -> Any:
        """Read one sample together with its number."""
        sample = super().get_item(sample_id, retry)
        sample[SAMPLE_ID] = sample_id
        return sample

    def domain_of(self, sample_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up the index of the domain of each sample number."""
        return np.searchsorted(self.sample_offset_per_stream, sample_ids, side="right") - 1


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack samples into a batch for causal language modelling.

    Returns:
        `input_ids` and `labels`, both (batch, sequence) int64; `attention_mask`, of the same shape
        and all true; `sample_id`, (batch,) int64.
    """
    tokens = np.stack([sample["tokens"] for sample in samples]).astype(np.int64)
    return {
        "input_ids": torch.from_numpy(tokens),
        # Without one, transformers looks for packed positions and builds a full causal mask.
        "attention_mask": torch.ones(tokens.shape, dtype=torch.bool),
        # Composer shifts the labels in place when it evaluates: they need memory of their own.
        "labels": torch.from_numpy(tokens.copy()),
        SAMPLE_ID: torch.tensor([int(sample[SAMPLE_ID]) for sample in samples]),
    }


def train_loader(config: RunConfig) -> DataSpec:
    """Make the training data loader of a run.

    Raises:
        UserError: A stream's files are missing, or the batch does not divide over the devices.
    """
    world = dist.get_world_size()
    if config.global_train_batch_size % world:
        raise UserError(
            f"global_train_batch_size: {config.global_train_batch_size} does not divide over "
            f"{world} devices; use a multiple of {world}"
        )
    return _data_spec(config, config.train_loader, config.global_train_batch_size // world)


def evaluators(config: RunConfig) -> list[Evaluator]:
    """Make one evaluator for each validation domain."""
    return [
        Evaluator(
            label=loader.label or "validation",
            dataloader=_data_spec(config, loader, config.device_eval_batch_size),
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


def _data_spec(config: RunConfig, loader: LoaderConfig, batch_size: int) -> DataSpec:
    dataset = _dataset(loader.dataset, batch_size, config.max_seq_len)
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
        get_num_tokens_in_batch=lambda batch: batch["input_ids"].numel(),
    )


def _dataset(config: DatasetConfig, batch_size: int, sequence_length: int) -> DomainDataset:
    for name, stream in config.streams.items():
        _check_stream(name, stream)
    paired = config.shuffle and config.shuffle_algo == PAIRED
    with _one_run_at_a_time():
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


def _stream(config: StreamConfig) -> Stream:
    return Stream(**config.model_dump(exclude_none=True))


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
