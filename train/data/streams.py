"""The Streaming dataset that a config describes, checked before it is used."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from composer.utils import dist
from streaming import Stream
from streaming.base.batching import generate_work
from streaming.base.hashing import get_hashes
from streaming.base.world import World

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.train.config import PAIRED, DatasetConfig, LoaderConfig, StreamConfig
from mixscale.train.data.dataset import DomainDataset
from mixscale.train.data.shared_memory import keep_alive, starting_datasets

TRAIN_LOADER = "train_loader"
BATCH_KEYS = ("device_eval_batch_size", "global_train_batch_size")
_TRIES = 20
_STREAM_NUMBER = re.compile(r"[Ss]tream (?:with index )?(\d+)\b")
CREDENTIALS = (
    "; the address may be wrong, or the credentials of the store missing in the environment"
)


def build_dataset(config: DatasetConfig, batch_size: int) -> DomainDataset:
    """Make the dataset of a loader.

    Args:
        config: Its streams, and how to mix them.
        batch_size: Samples of a batch on each device.

    Raises:
        UserError: A stream's files are missing or empty.
    """
    _check_hashes(config)
    for name, stream in config.streams.items():
        _check_stream(name, stream)
    with starting_datasets(), _named_errors(config):
        dataset = _open_with_free_number(config, batch_size)
        keep_alive(dataset)
    _check_samples(dataset, config)
    return dataset


def _open_with_free_number(config: DatasetConfig, batch_size: int) -> DomainDataset:
    """Try again when a program that knows nothing of our lock has taken the number meanwhile."""
    # Several devices cannot: those that have their number wait for the others.
    tries = _TRIES if dist.get_world_size() == 1 else 1
    for _ in range(tries - 1):
        with contextlib.suppress(FileExistsError, PermissionError):
            return _open(config, batch_size)
    return _open(config, batch_size)


def _open(config: DatasetConfig, batch_size: int) -> DomainDataset:
    paired = config.shuffle and config.shuffle_algo == PAIRED
    return DomainDataset(
        domains=tuple(config.streams),
        paired=paired,
        pools=[stream.pool for stream in config.streams.values()],
        streams=[_stream(stream) for stream in config.streams.values()],
        batch_size=batch_size,
        epoch_size=config.epoch_size,
        shuffle=config.shuffle and not paired,
        shuffle_algo="py1e" if paired else config.shuffle_algo,
        # The paired order is global: canonical nodes would cut it into pieces.
        num_canonical_nodes=1 if paired else config.num_canonical_nodes,
        allow_unsafe_types=bool(config.allow_unsafe_types),
        **config.model_dump(
            include={
                "shuffle_seed", "shuffle_block_size", "partition_algo", "sampling_method",
                "sampling_granularity", "batching_method", "predownload", "cache_limit",
                "download_retry", "download_timeout", "validate_hash", "keep_zip",
                "replication",
            }
        ),
    )  # fmt: skip


def check_batches(
    dataset: DomainDataset, config: LoaderConfig, batch_size: int, place: str
) -> None:
    """Refuse a loader that has no batch to give.

    Args:
        dataset: Its dataset.
        config: The loader.
        batch_size: Samples of a batch on each device.
        place: The key of the loader.

    Raises:
        UserError: An epoch is shorter than a batch and such batches are dropped, or a stream has
            too few samples for the batching method.
    """
    devices = dist.get_world_size()
    whole, samples = batch_size * devices, int(dataset.epoch_size)
    if config.drop_last and samples < whole:
        raise UserError(
            f"{place}.drop_last: true drops the batches that are not whole, and an epoch has "
            f"{samples} samples, a batch {whole}: nothing is left. Set it to false, or make the "
            f"batch ({BATCH_KEYS[place == TRAIN_LOADER]}) smaller or the epoch longer"
        )
    method = config.dataset.batching_method
    if method == "random":
        return
    empty = [
        domain
        for domain, stream in zip(dataset.domains, dataset.streams, strict=True)
        if not int(stream.choose)
    ]
    if empty:
        raise UserError(
            f"{place}.dataset.batching_method: {method} fills a part of every batch from each "
            f"stream, and {empty} give no samples in an epoch; leave them out, or take "
            "`batching_method: random`"
        )
    with (
        _named_errors(config.dataset, f"{place}.dataset.batching_method: {method}"),
        _canonical_nodes(dataset),
    ):
        batches = generate_work(method, dataset, World.detect(), 0, 0)
    if not (batches >= 0).any():
        raise UserError(
            f"{place}.dataset.batching_method: {method} has no whole batch of {whole} samples to "
            f"give: the streams' samples in an epoch are too few ({_chosen(dataset)}); take a "
            "smaller batch, a longer epoch, or `batching_method: random`"
        )


@contextlib.contextmanager
def _canonical_nodes(dataset: DomainDataset) -> Iterator[None]:
    """Set what Streaming sets itself as an epoch starts, and later finds in a checkpoint."""
    given = dataset.num_canonical_nodes, dataset.shuffle_block_size
    many = 64 if dataset.shuffle_algo in ("py1s", "py2s") else 1
    nodes = given[0] or many * World.detect().num_nodes
    dataset.num_canonical_nodes = nodes
    dataset.shuffle_block_size = given[1] or max(4_000_000 // nodes, 2**18)
    try:
        yield
    finally:
        dataset.num_canonical_nodes, dataset.shuffle_block_size = given


def _chosen(dataset: DomainDataset) -> str:
    pairs = zip(dataset.domains, dataset.streams, strict=True)
    return ", ".join(f"{domain}: {int(stream.choose)}" for domain, stream in pairs)


@contextlib.contextmanager
def _named_errors(config: DatasetConfig, place: str = "") -> Iterator[None]:
    """Turn an error of Streaming about what it cannot use into a message that names it.

    Whatever an object store's client raises is among them: each has exceptions of its own.
    """
    try:
        yield
    except (MemoryError, UserError):
        raise
    except Exception as error:
        remotes = [stream.remote for stream in config.streams.values() if stream.remote]
        places = f" (remote: {', '.join(remotes)})" if remotes else ""
        names = list(config.streams)
        kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
        message = _STREAM_NUMBER.sub(lambda found: f"stream {names[int(found[1])]!r}", str(error))
        hint = CREDENTIALS if any("://" in remote for remote in remotes) else ""
        where = f"{place}; " if place else ""
        raise UserError(f"{where}streams {names}{places}: {kind}{message}{hint}") from error


def _stream(config: StreamConfig) -> Stream:
    arguments = config.model_dump(exclude_none=True, exclude={"pool"})
    if config.remote is not None:
        # Streaming takes a folder as it is, but not as an address.
        arguments["remote"] = config.remote.removeprefix("file://")
    return Stream(**arguments)


def _check_hashes(config: DatasetConfig) -> None:
    for wanted in (config, *config.streams.values()):
        # A shard that is here already is not checked: a misspelt name would not be noticed.
        if wanted.validate_hash is not None and wanted.validate_hash not in get_hashes():
            raise unknown_name("validate_hash", wanted.validate_hash, get_hashes())


def _check_stream(name: str, stream: StreamConfig) -> None:
    if stream.remote is not None or stream.local is None:
        return
    index = Path(stream.local, stream.split or "", "index.json")
    if not index.is_file():
        raise UserError(
            f"stream {name!r}: {index} is missing. Relative paths count from the current folder "
            f"({Path.cwd()}); run from the folder they are meant for, or build the shard set first"
        )
    _check_index(name, index)


def _check_index(name: str, index: Path) -> None:
    """Refuse what is no index of shards; Streaming would say which key it misses, not where."""
    try:
        values = json.loads(index.read_bytes())
        is_index = isinstance(values["shards"], list) and bool(values["version"])
    except (ValueError, KeyError, TypeError):
        is_index = False
    if not is_index:
        raise UserError(
            f"stream {name!r}: {index} is damaged or no index of shards; restore the file, or "
            "write the shards again"
        )


def _check_samples(dataset: DomainDataset, config: DatasetConfig) -> None:
    if not dataset.num_samples:
        raise UserError(f"streams {list(dataset.domains)}: no samples")
    for domain, samples in zip(dataset.domains, dataset.samples_per_stream, strict=True):
        if not samples:
            raise UserError(f"stream {domain!r}: no samples; give it more text or leave it out")
        pool = config.streams[domain].pool
        if pool is not None and pool > samples:
            raise UserError(f"stream {domain!r}: pool: {pool}, but there are {samples} samples")
