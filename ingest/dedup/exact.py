"""Exact copies: each text's first row of the best domain stays.

Every group of rows leaves its texts for the parts of the space of hashes; every part is compared by
a task of its own, and leaves what it found for the groups. All of it is linear in the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.ingest.dedup.exchange import Exchange, Records, part_of_hash
from mixscale.ingest.dedup.groups import Group
from mixscale.ingest.dedup.order import order_of
from mixscale.ingest.runtime.intermediate import (
    intermediate_path,
    read_completion,
    write_completion,
)
from mixscale.ingest.unit_rows import DUPLICATE, HAS_TEXT

Ints = NDArray[np.int64]

TEXT = np.dtype([("high", "<u8"), ("low", "<u8"), ("rank", "<i2"), ("row", "<i8")])
"""A text: its hash, its rank (lower wins) and its row."""
LOSS = np.dtype([("row", "<i8"), ("winner", "<i8")])
"""A row that goes, and the row that stays in its place."""


@dataclass(frozen=True, kw_only=True)
class ExactStage:
    """What all tasks share."""

    folder: Path
    groups: int
    parts: int
    priority: tuple[int, ...]
    """By domain: lower wins."""
    by_domain: bool
    """Whether only texts of the same domain are compared."""
    group_rows: int

    def ranks(self, domains: NDArray[Any], is_validation: NDArray[np.bool_]) -> Ints:
        """Rank texts, (texts,): those of files for validation win, then the better domains.

        The remainder by the number of domains is the priority of the domain.

        Args:
            domains: (texts,) numbers of their domains.
            is_validation: (texts,) whether they are of files for validation.
        """
        priority = np.asarray(self.priority, np.int64)
        return priority[domains] + np.where(is_validation, 0, len(priority))

    @property
    def texts(self) -> Exchange:
        """From groups to parts."""
        return self._exchange("texts", self.groups, self.parts, TEXT)

    @property
    def losses(self) -> Exchange:
        """From parts to groups."""
        return self._exchange("losses", self.parts, self.groups, LOSS)

    def losses_inside(self, group: int) -> Path:
        """Name the file with what a group finds out alone."""
        return self.folder / "inside" / str(group)

    def completion(self, name: str, number: int) -> Path:
        """Name the file that says that a task is done."""
        return self.folder / name / f"{number}.json"

    def _exchange(self, name: str, writers: int, readers: int, dtype: np.dtype) -> Exchange:
        return Exchange(folder=self.folder / name, writers=writers, readers=readers, dtype=dtype)


@dataclass(frozen=True, kw_only=True)
class ScatterTask:
    """The texts of a group, to be left for the parts."""

    stage: ExactStage
    group: Group


def scatter(task: ScatterTask) -> None:
    """Leave the texts of a group, of each text only the row that may stay."""
    stage, number = task.stage, task.group.number
    completion = stage.completion("texts", number)
    if read_completion(completion) is not None:
        return
    high, low, domain, status = task.group.read("high", "low", "domain", "status")
    chosen = np.flatnonzero(np.isin(status, HAS_TEXT))
    # A text that stands in a million rows is one record for its part.
    chosen = chosen[order_of(high[chosen])]
    texts = np.empty(len(chosen), TEXT)
    texts["high"], texts["low"] = high[chosen], low[chosen]
    texts["rank"] = stage.ranks(domain[chosen], task.group.of_validation_files()[chosen])
    texts["row"] = chosen + task.group.first
    losers, winners = find_copies(stage, texts)
    inside = stage.losses_inside(number)
    with intermediate_path(inside) as path:
        _losses(texts, losers, winners).tofile(path)
    stays = np.ones(len(texts), np.bool_)
    stays[losers] = False
    texts = texts.compress(stays)
    stage.texts.write(number, texts, part_of_hash(texts["high"], stage.parts))
    write_completion(completion, {}, [stage.texts.path(number), inside])


@dataclass(frozen=True, kw_only=True)
class CompareTask:
    """The texts of all groups whose hashes are in one part."""

    stage: ExactStage
    part: int


def compare(task: CompareTask) -> None:
    """Find the copies among the texts of one part, and leave them for the groups of their rows."""
    stage, part = task.stage, task.part
    completion = stage.completion("losses", part)
    if read_completion(completion) is not None:
        return
    texts = in_order_of_repeated(stage.texts.read(part), "high")
    losses = _losses(texts, *find_copies(stage, texts))
    losses = losses.take(order_of(losses["row"]))
    stage.losses.write(part, losses, losses["row"] // stage.group_rows)
    write_completion(completion, {}, [stage.losses.path(part)])


def find_copies(stage: ExactStage, texts: Records) -> tuple[Ints, Ints]:
    """Find the texts that go and, for each, the one that stays in its place.

    Args:
        stage: How they are compared.
        texts: (texts,) of `TEXT`, sorted by `high`; equal texts in the order of their rows.

    Returns:
        (losers,) places in `texts` of those that go, and of those that stay.
    """
    some = np.flatnonzero(repeated(texts["high"]))
    high, low = texts["high"][some], texts["low"][some]
    if np.any((high[1:] == high[:-1]) & (low[1:] != low[:-1])):
        # Different texts with half of their hashes in common may alternate.
        some = some[np.lexsort([low, high])]
        high, low = texts["high"][some], texts["low"][some]
    rank, domains = texts["rank"][some].astype(np.int64), len(stage.priority)
    if stage.by_domain:
        rank = rank % domains * 2 + rank // domains
    # One number for text and rank is nearly in order already, which costs a tenth of sorting
    # by each; a stable sort leaves the rows of a rank in theirs.
    keys = np.cumsum(is_first_of_equal(high, low)) * (2 * domains) + rank
    order = np.argsort(keys, kind="stable")
    is_first = is_first_of_equal(keys[order] // (2 if stage.by_domain else 2 * domains))
    winners = order[is_first][np.cumsum(is_first) - 1]
    return some[order[~is_first]], some[winners[~is_first]]


def in_order_of_repeated(records: Records, field: str) -> Records:
    """Take the records that share their value of a field with others, in its order.

    Most are alone with their hash, and need not be moved.
    """
    values = np.ascontiguousarray(records[field])
    order = order_of(values)
    return records.take(order[repeated(values[order])])


def is_first_of_equal(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows of columns, in which equal rows stand together, are the first of theirs."""
    found = np.ones(len(columns[0]), np.bool_)
    found[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return found


def repeated(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of the sorted values occur more than once."""
    found = np.zeros(len(values), np.bool_)
    same = values[1:] == values[:-1]
    found[1:] |= same
    found[:-1] |= same
    return found


def read_exact(stage: ExactStage | None, group: Group) -> tuple[NDArray[np.uint8], Ints]:
    """Read (rows,) statuses of a group and (rows,) rows that stay in the place of each, or -1.

    Args:
        stage: Nothing when no copies were looked for.
        group: Some rows.
    """
    (status,) = group.read("status")
    status, copy_of = status.copy(), np.full(group.rows, -1, np.int64)
    if stage is not None:
        losses = stage.losses.read(group.number)
        copy_of[losses["row"] - group.first] = losses["winner"]
        inside = np.fromfile(stage.losses_inside(group.number), LOSS)
        copy_of[inside["row"] - group.first] = _final(inside["winner"], copy_of, group.first)
        status[copy_of >= 0] = DUPLICATE
    return status, copy_of


def _final(winners: Ints, copy_of: Ints, first: int) -> Ints:
    """Follow rows that stay within their group to those that stay among all."""
    further = copy_of[winners - first]
    return np.where(further < 0, winners, further)


def _losses(texts: Records, losers: Ints, winners: Ints) -> Records:
    losses = np.empty(len(losers), LOSS)
    losses["row"], losses["winner"] = texts["row"][losers], texts["row"][winners]
    return losses
