"""Near duplicates among the texts of all units."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.corpus import Near
from mixscale.ingest.dedup.minhash import DTYPE, Signatures, have_words

BUCKET_ROWS = 1 << 20
"""Texts compared at once; bounds the memory, whatever the size of the corpus."""
MOST_PIVOTS = 64
"""In a band, a text is compared with so many texts of the same numbers at most."""
_PAIRS = 1 << 14
_PRIORITY_STEP = 1 << 48

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The texts to compare: arrays on disk, one row for each text."""

    folder: Path
    count: int
    near: Near

    def rows(self) -> Ints:
        """Number the record of each text among all records, (texts,)."""
        return self._map("rows", np.int64, (self.count,))

    def ranks(self) -> Ints:
        """Order the texts: of two that are nearly the same, the one of lower rank stays."""
        return self._map("ranks", np.int64, (self.count,))

    def signatures(self) -> Signatures:
        """Give the signatures, (texts, permutations)."""
        return self._map("signatures", DTYPE, (self.count, self.near.permutations))

    def keys(self) -> NDArray[np.uint64]:
        """Give the hash of each band, (bands, texts): 0 where the text has no words."""
        return self._map("keys", np.uint64, (self.near.bands()[0], self.count))

    def _map(self, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        if self.count == 0:
            return np.empty(shape, dtype)
        return np.memmap(self.folder / name, dtype, mode="r+", shape=shape)

    def reserve(self) -> None:
        """Make the files at full size: a full disk kills a process that writes to a mapped one."""
        self.folder.mkdir(exist_ok=True)
        bands, _ = self.near.bands()
        widths = {
            "rows": 8,
            "ranks": 8,
            "keys": 8 * bands,
            "signatures": 4 * self.near.permutations,
        }
        for name, width in widths.items():
            with (self.folder / name).open("wb") as stream:
                if self.count:
                    os.posix_fallocate(stream.fileno(), 0, self.count * width)


class Texts(NamedTuple):
    """Some of the texts to compare; each array has one row for each text."""

    rows: Ints
    """(texts,) number of the record among all records."""
    ranks: Ints
    """(texts,) of two that are nearly the same, the one of lower rank stays."""
    scopes: Ints
    """(texts,) small numbers; only texts of the same scope are compared."""
    signatures: Signatures
    """(texts, permutations)."""


def collect_candidates(folder: Path, near: Near, count: int, texts: Iterator[Texts]) -> Candidates:
    """Write the texts to disk in the form in which they are compared.

    Args:
        folder: Where the arrays go.
        near: When two texts count as nearly the same.
        count: How many texts there are.
        texts: All of them, some at a time.
    """
    candidates = Candidates(folder=folder, count=count, near=near)
    candidates.reserve()
    first = 0
    for rows, ranks, scopes, signatures in texts:
        here = slice(first, first + len(rows))
        candidates.rows()[here] = rows
        candidates.ranks()[here] = ranks
        candidates.signatures()[here] = signatures
        candidates.keys()[:, here] = _band_keys(signatures, scopes, near)
        first = here.stop
    assert first == count
    return candidates


def rank_of(priority: Ints, rows: Ints) -> Ints:
    """Order records by the priority of their domain, then by their place."""
    return priority * _PRIORITY_STEP + rows


def _band_keys(signatures: Signatures, scopes: Ints, near: Near) -> NDArray[np.uint64]:
    bands, rows = near.bands()
    keys = np.empty((bands, len(signatures)), np.uint64)
    has_words = have_words(signatures)
    for band in range(bands):
        # Multiplied, because the numbers below change the low half only.
        key = scopes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        for column in range(band * rows, (band + 1) * rows):
            # FNV-1a, a number at a time.
            key = (key ^ signatures[:, column]) * np.uint64(0x100000001B3)
        key ^= key >> np.uint64(32)
        keys[band] = np.where(has_words, np.maximum(key, 1), 0)
    return keys


def find_near_duplicates(candidates: Candidates) -> Iterator[tuple[Ints, Ints]]:
    """Yield records that go and, for each, the record that is nearly the same and of lower rank.

    Texts with the same numbers in a band are compared by their whole signatures: the one of the
    lowest rank with all others, then the lowest of those that are not like it with the rest, and
    so on. A text that goes takes no part from then on, so that of the texts that stay no two are
    alike that a band brings together. A text may have gone because of one that
    went itself later on.
    """
    alive = np.ones(candidates.count, np.bool_)
    rows = candidates.rows()
    buckets = max(1, -(-candidates.count // BUCKET_ROWS))
    for band in range(candidates.near.bands()[0]):
        for bucket in range(buckets):
            members = _sharing(candidates, alive, band, bucket, buckets)
            for losers, winners in _compare(candidates, members, band):
                alive[losers] = False
                yield rows[losers], rows[winners]


def _sharing(
    candidates: Candidates, alive: NDArray[np.bool_], band: int, bucket: int, buckets: int
) -> Ints:
    """Find the texts of a bucket that share a band with another, ordered by band, then rank."""
    found = [np.empty(0, np.int64)]
    for start in range(0, candidates.count, BUCKET_ROWS):
        keys = candidates.keys()[band, start : start + BUCKET_ROWS]
        chosen = alive[start : start + BUCKET_ROWS] & (keys != 0)
        if buckets > 1:
            chosen &= keys % np.uint64(buckets) == bucket
        found.append(np.flatnonzero(chosen) + start)
    members = np.concatenate(found)
    keys = candidates.keys()[band][members]
    order = np.lexsort([candidates.ranks()[members], keys])
    return members[order][_is_shared(keys[order])]


def _compare(candidates: Candidates, members: Ints, band: int) -> Iterator[tuple[Ints, Ints]]:
    keys = candidates.keys()[band][members]
    for _ in range(MOST_PIVOTS):
        if not len(members):
            return
        is_first = np.concatenate([[True], keys[1:] != keys[:-1]])
        pivots = members[is_first][np.cumsum(is_first) - 1]
        members, pivots, keys = members[~is_first], pivots[~is_first], keys[~is_first]
        alike = _are_alike(candidates, members, pivots)
        yield members[alike], pivots[alike]
        members, keys = members[~alike], keys[~alike]
        shared = _is_shared(keys)
        members, keys = members[shared], keys[shared]


def _are_alike(candidates: Candidates, ones: Ints, others: Ints) -> NDArray[np.bool_]:
    """Estimate for each pair whether it is at the threshold or above, (pairs,)."""
    near = candidates.near
    wanted = np.ceil(near.threshold * near.permutations - 1e-9)
    alike = np.empty(len(ones), np.bool_)
    for start in range(0, len(ones), _PAIRS):
        pairs = slice(start, start + _PAIRS)
        # Mapped anew, so that the pages of the last pairs do not stay in memory.
        signatures = candidates.signatures()
        equal = signatures[ones[pairs]] == signatures[others[pairs]]
        alike[pairs] = equal.sum(axis=1) >= wanted
    return alike


def _is_shared(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of the sorted keys occur more than once."""
    shared = np.zeros(len(keys), np.bool_)
    same = keys[1:] == keys[:-1]
    shared[1:] |= same
    shared[:-1] |= same
    return shared


def resolve_chains(copy_of: Ints) -> None:
    """Lead each record that went to the one that stays in its place in the end.

    Args:
        copy_of: (records,) the record in whose favour each went, or -1; changed in place.
    """
    for start in range(0, len(copy_of), BUCKET_ROWS):
        some = copy_of[start : start + BUCKET_ROWS]
        gone = np.flatnonzero(some >= 0)
        found = some[gone]
        while (further := copy_of[found]).max(initial=-1) >= 0:
            found = np.where(further < 0, found, further)
        some[gone] = found
