"""A StreamingDataset that knows which domain each of its samples comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from streaming import StreamingDataset

from mixscale.train.data.memory_mapped import TOKENS, MemoryMappedShard, memory_map
from mixscale.train.data.sample_order import draw_order, draw_pool, interleave

SAMPLE_ID = "sample_id"


ReadTokens = Callable[[Mapping[str, Any], int], tuple[NDArray[np.integer], int]]


def _whole_array(sample: Mapping[str, Any], domain: int) -> tuple[NDArray[np.integer], int]:
    return sample[TOKENS], len(sample[TOKENS])


class ShardError(RuntimeError):
    """A shard is missing or damaged; the message names it and the way out."""


class DomainDataset(StreamingDataset):
    """A StreamingDataset that knows its domains, and whose order can be paired between runs.

    With `shuffle_algo: paired` only the choice and the order of samples is ours; partitioning over
    nodes, ranks and workers, downloading and resumption stay Streaming's.
    """

    def __init__(
        self,
        domains: Sequence[str],
        paired: bool,
        pools: Sequence[int | None] | None = None,
        **arguments: Any,
    ) -> None:
        """Open the shards.

        Args:
            domains: Names, one for each stream.
            paired: Whether the order is ours.
            pools: (domains,) samples that may be seen of each; None: all. Needs `paired`.
            arguments: Streaming's.
        """
        # Before Streaming's own, which may ask for shards already.
        self._open_shards: dict[int, MemoryMappedShard | None] = {}
        self._failure: ShardError | None = None
        super().__init__(**arguments)
        self.domains = tuple(domains)
        self.paired = paired
        available = self.samples_per_stream.tolist()
        self.samples_per_pool = tuple(
            count if pool is None else pool
            for count, pool in zip(available, pools or [None] * len(available), strict=True)
        )
        """(domains,) samples that may be seen of each."""
        self.holds_text = False
        """Whether samples may be texts, which differ in length."""
        self.read_tokens: ReadTokens = _whole_array
        """Reads the tokens of a sample of some domain: (sequence,), and how many are no padding."""

    def resample_streams(
        self, epoch: int, stream_id: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Choose and order the samples of an epoch.

        Args:
            epoch: Composer's epoch.
            stream_id: The one stream that is wanted, of a batching method that composes batches of
                the streams' samples itself; all streams when absent.

        Returns:
            Sizes of the units to shuffle (one, as nothing is left to shuffle), and the sample
            numbers in training order.
        """
        if not self.paired:
            return super().resample_streams(epoch, stream_id)
        if stream_id is not None:
            drawn = self._drawn(stream_id, epoch)
            return np.array([len(drawn)], np.int64), drawn
        counts = [int(stream.choose) for stream in self.streams]
        order = interleave(self.domains, counts, self.shuffle_seed, epoch)
        everything = np.concatenate([self._drawn(i, epoch) for i in range(len(counts))])
        return np.array([len(order)], np.int64), everything[order]

    def _drawn(self, stream_id: int, epoch: int) -> NDArray[np.int64]:
        """Draw the samples of one domain, (chosen,) sample numbers in training order."""
        domain, seed = self.domains[stream_id], self.shuffle_seed
        available = int(self.samples_per_stream[stream_id])
        pool = self.samples_per_pool[stream_id]
        order = draw_order(domain, pool, int(self.streams[stream_id].choose), seed, epoch)
        if pool < available:
            order = draw_pool(domain, available, pool, seed)[order]
        return self.sample_offset_per_stream[stream_id] + order

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the samples of an epoch, as Streaming does.

        Raises:
            ShardError: A shard could not be had. Streaming alone would end the epoch early then.
        """
        yield from super().__iter__()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the threads that download ahead; the dataset cannot be read again.

        A run that ends in the middle of an epoch leaves them running. A process that frees its
        shared memory beneath them may then never end.
        """
        if hasattr(self, "_iterator"):
            self._iterator.non_blocking_exit()
        if hasattr(self, "_executor"):
            self._executor.shutdown(wait=True, cancel_futures=True)

    def prepare_shard(self, shard_id: int, blocking: bool = True) -> None:
        """Download a shard unless it is here.

        Raises:
            ShardError: It is nowhere.
        """
        # Streaming would take a lock on a file for every sample, to look whether it was evicted.
        if self._open_shards.get(shard_id) is not None:
            return
        try:
            super().prepare_shard(shard_id, blocking)
        except Exception as error:  # from a missing file to whatever an object store's client has
            self._failure = self._error(shard_id, str(error))
            raise self._failure from error

    def get_item(self, sample_id: int, retry: int = 7) -> Any:
        """Read one sample together with its number.

        Raises:
            ShardError: Its shard is missing or damaged.
        """
        if self._failure is not None:
            raise self._failure
        shard_id, row = self.spanner[sample_id]
        try:
            shard = self._memory_mapped_shard(shard_id)
            if shard is not None:
                return {TOKENS: shard[row], SAMPLE_ID: sample_id}
            return super().get_item(sample_id, retry) | {SAMPLE_ID: sample_id}
        except ShardError:
            raise
        except (OSError, ValueError, IndexError, RuntimeError) as error:
            raise self._failure or self._error(shard_id, str(error)) from error

    def domain_of(self, sample_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up the index of the domain of each sample number."""
        return np.searchsorted(self.sample_offset_per_stream, sample_ids, side="right") - 1

    def unusable(self, sample_id: int, reason: str) -> ShardError:
        """Build the error for a sample that was read but cannot be used."""
        shard_id, row = self.spanner[sample_id]
        return self._error(shard_id, f"sample {row}: {reason}")

    def _memory_mapped_shard(self, shard_id: int) -> MemoryMappedShard | None:
        if self.cache_limit:
            return None  # an evicted file would stay on the disk as long as it is open
        if shard_id not in self._open_shards:
            reader = self.shards[shard_id]
            try:
                self._open_shards[shard_id] = memory_map(reader)
            except FileNotFoundError:
                self.prepare_shard(shard_id)
                self._open_shards[shard_id] = memory_map(reader)
        return self._open_shards[shard_id]

    def _error(self, shard_id: int, reason: str) -> ShardError:
        reader = self.shards[shard_id]
        domain = self.domains[self.stream_per_shard[shard_id]]
        (raw, _), *_ = reader.file_pairs
        path = Path(reader.dirname, reader.split, raw.basename)
        return ShardError(
            f"domain {domain!r}: cannot read {path}: {reason}; restore the file, or build the "
            "shard set again (`mixscale verify SHARDSET` names every damaged file)"
        )
