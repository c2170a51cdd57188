"""The order of samples that makes proxy runs comparable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def draw_order(domain: str, available: int, chosen: int, seed: int, epoch: int) -> Indices:
    """Draw samples of one domain: permutation after permutation, as many as needed.

    The order depends on the domain's name, the seed and the epoch alone. Two runs that take
    different amounts of a domain therefore see the same samples first, whatever else they mix in.

    Args:
        domain: Name of the domain.
        available: Samples in the domain.
        chosen: Samples to draw; beyond `available` they repeat.
        seed: The run's shuffle seed.
        epoch: Composer's epoch.

    Returns:
        (chosen,) sample numbers in `[0, available)`; each appears `k` times before any appears
        `k + 1` times.
    """
    rng = _generator("draw", domain, seed, epoch)
    passes = -(-chosen // available) if available else 0
    orders = [rng.permutation(available) for _ in range(passes)]
    return np.concatenate(orders or [np.empty(0, np.int64)])[:chosen].astype(np.int64)


def draw_pool(domain: str, available: int, pool: int, seed: int) -> Indices:
    """Choose the samples of one domain that a run may see.

    Each sample has a hash of the domain's name, the seed and its number; the smallest ones are the
    pool. So a smaller pool is part of a larger one, and stays nearly the same when samples are
    added to the domain.

    Args:
        domain: Name of the domain.
        available: Samples in the domain.
        pool: Samples to choose, at most `available`.
        seed: The run's shuffle seed.

    Returns:
        (pool,) sample numbers in `[0, available)`, increasing.
    """
    hashes = _mixed(np.arange(available, dtype=np.uint64) + _word("pool", domain, seed))
    return np.sort(np.argpartition(hashes, pool - 1)[:pool]).astype(np.int64)


def interleave(domains: Sequence[str], counts: Sequence[int], seed: int, epoch: int) -> Indices:
    """Spread every domain's samples evenly over the epoch.

    Sample `j` of a domain with `k` samples gets a random moment in `[j / k, (j + 1) / k)`: at any
    point of the run the domain is within one sample of its proportion, whereas independent draws
    would let the mixture wander.

    Args:
        domains: Names of the domains.
        counts: (domains,) samples that each contributes.
        seed: The run's shuffle seed.
        epoch: Composer's epoch.

    Returns:
        (sum of counts,) positions into the domains' samples laid end to end.
    """
    moments = [
        (np.arange(count) + _generator("moment", domain, seed, epoch).random(count)) / max(count, 1)
        for domain, count in zip(domains, counts, strict=True)
    ]
    return np.argsort(np.concatenate(moments), kind="stable").astype(np.int64)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash 64-bit numbers one to one: the finalizer of SplitMix64 (Steele et al. 2014, OOPSLA)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _word(purpose: str, domain: str, seed: int) -> np.uint64:
    text = f"{purpose}\0{domain}\0{seed}".encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))


def _generator(purpose: str, domain: str, seed: int, epoch: int) -> np.random.Generator:
    name = hashlib.blake2b(f"{purpose}\0{domain}".encode(), digest_size=8).digest()
    return np.random.default_rng([int.from_bytes(name, "little"), seed, epoch])
