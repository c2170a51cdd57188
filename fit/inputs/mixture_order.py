"""An order of mixtures that neither the order of rows nor that of columns has a part in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.scales import mixture_names


def groups_of_mixtures(runs: Runs, among: Sequence[bool], most: int) -> NDArray[np.int64]:
    """(runs,) number of the group that each run's mixture is left out with, -1 for none.

    Args:
        runs: All runs; those of one mixture at several scales get one number.
        among: (runs,) whose mixtures are left out at all.
        most: Groups at most.
    """
    by_name = np.argsort(runs.domains)
    names = mixture_names(runs.shares[:, by_name], runs.named, runs.kinds)
    chosen = {name for name, one in zip(names, among, strict=True) if one}
    # Not by the shares themselves: neighbours would be left out together.
    ordered = sorted(chosen, key=lambda name: hashlib.sha256(name.encode()).digest())
    group = {name: k % min(most, len(ordered)) for k, name in enumerate(ordered)}
    return np.array([group[n] if one else -1 for n, one in zip(names, among, strict=True)])


def in_order(runs: Runs) -> Runs:
    """The same runs in an order that their contents alone decide."""
    by_name, results = np.argsort(runs.domains), np.argsort(runs.validation)
    seeds = np.array(runs.seeds or (0,) * len(runs))
    columns = [runs.scale, *runs.tokens[:, by_name].T, *runs.losses[:, results].T, seeds]
    return runs.where(np.lexsort(columns[::-1]))
