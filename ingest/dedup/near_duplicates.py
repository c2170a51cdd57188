"""Near duplicates: of the texts that share a band of their signatures, those alike go.

Band after band, every group of rows leaves the texts that are still there for the parts of the
space of band hashes; every part is compared by a task of its own, and leaves what it found for the
groups. Texts with the same numbers in a band are in the same part, so the parts of a band do not
depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.corpus import Near
from mixscale.ingest.dedup.exact import (
    LOSS,
    ExactStage,
    Ints,
    in_order_of_repeated,
    is_first_of_equal,
    read_exact,
    repeated,
)
from mixscale.ingest.dedup.exchange import Exchange, Records, part_of_hash
from mixscale.ingest.dedup.groups import Group
from mixscale.ingest.dedup.minhash import Signatures, have_words, read_signatures
from mixscale.ingest.dedup.order import order_of
from mixscale.ingest.dedup.signature_files import SignatureFiles
from mixscale.ingest.runtime.intermediate import (
    intermediate_path,
    read_completion,
    write_completion,
)
from mixscale.ingest.unit_rows import KEPT

MOST_PIVOTS = 64
"""In a band, a text is compared with so many texts of the same numbers at most."""
_PAIRS = 1 << 14
_PRIORITY_STEP = 1 << 48

BANDED = np.dtype([("key", "<u8"), ("rank", "<i8"), ("place", "<i8")])
"""A text: the hash of its band, its rank, the place of its signature in its bundle's file.

Of two texts that are alike the one of lower rank stays; a rank is that of `ExactStage.ranks` times
`_PRIORITY_STEP`, plus the row.
"""
_TEXT = np.dtype([("rank", "<i8"), ("place", "<i8")])


@dataclass(frozen=True, kw_only=True)
class NearStage:
    """What all tasks share."""

    folder: Path
    exact: ExactStage
    near: Near
    signatures: SignatureFiles

    def texts(self, group: int) -> Path:
        """Name the file with the texts of a group that no exact copy has taken out."""
        return self.folder / "texts" / str(group)

    def keys(self, group: int) -> Path:
        """Name the file with their band hashes, (bands, texts); 0 where there are no words."""
        return self.folder / "keys" / str(group)

    def gone(self, group: int, band: int) -> Path:
        """Name the file with the rows that stay in their place before a band is compared."""
        return self.folder / "gone" / f"{band}.{group}"

    def banded(self, band: int) -> Exchange:
        """From groups to parts."""
        return Exchange(
            folder=self.folder / f"band-{band}",
            writers=self.exact.groups,
            readers=self.exact.parts,
            dtype=BANDED,
        )

    def losses(self, band: int) -> Exchange:
        """From parts to groups."""
        return Exchange(
            folder=self.folder / f"losses-{band}",
            writers=self.exact.parts,
            readers=self.exact.groups,
            dtype=LOSS,
        )


@dataclass(frozen=True, kw_only=True)
class SignedTask:
    """The texts of a group that are to be compared."""

    stage: NearStage
    group: Group


def collect(task: SignedTask) -> None:
    """Hash the bands of a group's texts."""
    stage, number = task.stage, task.group.number
    completion = stage.folder / "texts" / f"{number}.json"
    if read_completion(completion) is not None:
        return
    status, _ = read_exact(stage.exact, task.group)
    texts = [np.empty(0, _TEXT)]
    # The largest thing that a task holds, so made once.
    keys = np.empty((stage.near.bands()[0], np.count_nonzero(status == KEPT)), np.uint64)
    first = done = 0
    for part in task.group.parts:
        here = slice(first, first + part.stop - part.start)
        unit_status, domain = part.read("status", "domain")
        signed = np.flatnonzero(unit_status == KEPT)
        chosen = status[here][signed] == KEPT
        places = np.flatnonzero(chosen) + part.signed_before()
        rows = signed[chosen] + here.start + task.group.first
        found = np.empty(len(rows), _TEXT)
        domain = domain.astype(np.int64)[signed[chosen]]
        ranks = stage.exact.ranks(domain, np.full(len(rows), part.source.is_validation))
        found["rank"], found["place"] = ranks * _PRIORITY_STEP + rows, places
        texts.append(found)
        scopes = domain + 1 if stage.exact.by_domain else np.zeros_like(domain)
        assert part.source.signatures_path is not None
        signatures = read_signatures(part.source.signatures_path, stage.near)
        for some in _band_keys(signatures, places, scopes, stage.near):
            keys[:, done : done + some.shape[1]] = some
            done += some.shape[1]
        first = here.stop
    with intermediate_path(stage.texts(number)) as path:
        np.concatenate(texts).tofile(path)
    with intermediate_path(stage.keys(number)) as path:
        keys.tofile(path)
    write_completion(completion, {}, [stage.texts(number), stage.keys(number)])


def _band_keys(
    signatures: Signatures, places: Ints, scopes: Ints, near: Near
) -> Iterator[NDArray[np.uint64]]:
    """Yield (bands, texts) hashes of some texts at a time."""
    bands, rows = near.bands()
    for start in range(0, len(places), _PAIRS):
        some = signatures[places[start : start + _PAIRS]]
        keys = np.empty((bands, len(some)), np.uint64)
        has_words = have_words(some)
        for band in range(bands):
            # Multiplied, because the numbers below change the low half only.
            scope = scopes[start : start + _PAIRS].astype(np.uint64)
            key = scope * np.uint64(0x9E3779B97F4A7C15)
            for column in range(band * rows, (band + 1) * rows):
                # FNV-1a, a number at a time.
                key = (key ^ some[:, column]) * np.uint64(0x100000001B3)
            key ^= key >> np.uint64(32)
            keys[band] = np.where(has_words, np.maximum(key, 1), 0)
        yield keys


@dataclass(frozen=True, kw_only=True)
class BandTask:
    """One band of the texts of a group, or of a part."""

    stage: NearStage
    number: int
    band: int


def spread(task: BandTask) -> None:
    """Leave the texts of a group that are still there for the parts."""
    stage, number, band = task.stage, task.number, task.band
    completion = stage.banded(band).folder / f"{number}.json"
    if read_completion(completion) is not None:
        return
    texts, gone = read_gone(stage, number, band)
    with intermediate_path(stage.gone(number, band)) as path:
        gone.tofile(path)
    with stage.keys(number).open("rb") as stream:
        stream.seek(8 * band * len(texts))
        keys = np.fromfile(stream, np.uint64, len(texts))
    here = np.flatnonzero((gone < 0) & (keys != 0))
    exchange = stage.banded(band)
    parts = part_of_hash(keys[here], exchange.readers)
    # Of small numbers a stable sort is linear.
    order = np.argsort(parts.astype(np.min_scalar_type(exchange.readers)), kind="stable")
    here = here[order]
    banded = np.empty(len(here), BANDED)
    banded["key"], banded["rank"] = keys[here], texts["rank"][here]
    banded["place"] = texts["place"][here]
    exchange.write(number, banded, parts[order])
    write_completion(completion, {}, [stage.gone(number, band), exchange.path(number)])


def read_gone(stage: NearStage, group: int, band: int) -> tuple[Records, Ints]:
    """Read the texts of a group and, for each, the row in whose favour it went, or -1.

    Args:
        stage: The comparison.
        group: Number of the group.
        band: All bands before this one count.
    """
    texts = np.fromfile(stage.texts(group), _TEXT)
    if band == 0:
        return texts, np.full(len(texts), -1, np.int64)
    gone = np.fromfile(stage.gone(group, band - 1), np.int64)
    losses = stage.losses(band - 1).read(group)
    gone[np.searchsorted(texts["rank"] % _PRIORITY_STEP, losses["row"])] = losses["winner"]
    return texts, gone


def match(task: BandTask) -> None:
    """Find the texts of a part that go, and leave them for the groups of their rows.

    Texts with the same numbers in a band are compared by their whole signatures: the one of the
    lowest rank with all others, then the lowest of those that are not like it with the rest, and
    so on. A text that goes takes no part from then on, so that of the texts that stay no two are
    alike that a band brings together. A text may have gone because of one that went itself in a
    later band.
    """
    stage, part, band = task.stage, task.number, task.band
    exchange = stage.losses(band)
    completion = exchange.folder / f"{part}.json"
    if read_completion(completion) is not None:
        return
    texts = in_order_of_repeated(stage.banded(band).read(part), "key")
    texts = texts.take(np.lexsort([texts["rank"], texts["key"]]))
    losses = np.concatenate([np.empty(0, LOSS), *_compare(stage, texts)])
    losses = losses.take(order_of(losses["row"]))
    exchange.write(part, losses, losses["row"] // stage.exact.group_rows)
    write_completion(completion, {}, [exchange.path(part)])


def _compare(stage: NearStage, members: Records) -> Iterator[Records]:
    for _ in range(MOST_PIVOTS):
        if not len(members):
            return
        is_first = is_first_of_equal(members["key"])
        pivots = members.compress(is_first).take(np.cumsum(is_first) - 1)
        members, pivots = members.compress(~is_first), pivots.compress(~is_first)
        alike = _are_alike(stage, members, pivots)
        losses = np.empty(int(alike.sum()), LOSS)
        losses["row"] = members["rank"][alike] % _PRIORITY_STEP
        losses["winner"] = pivots["rank"][alike] % _PRIORITY_STEP
        yield losses
        members = members.compress(~alike)
        members = members.compress(repeated(members["key"]))


def _are_alike(stage: NearStage, ones: Records, others: Records) -> NDArray[np.bool_]:
    """Estimate for each pair whether it is at the threshold or above, (pairs,)."""
    wanted = np.ceil(stage.near.threshold * stage.near.permutations - 1e-9)
    alike = np.empty(len(ones), np.bool_)
    for start in range(0, len(ones), _PAIRS):
        pairs = slice(start, start + _PAIRS)
        one, other = (
            stage.signatures.read(some["rank"] % _PRIORITY_STEP, some["place"], stage.near)
            for some in (ones[pairs], others[pairs])
        )
        alike[pairs] = (one == other).sum(axis=1) >= wanted
    return alike
