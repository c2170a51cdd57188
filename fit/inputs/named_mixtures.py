"""Mixtures that are written as a name, or by domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import BaseMixture
from mixscale.fit.arrays import Floats


def shares_of(mixture: BaseMixture, domains: Sequence[str], available: Mapping[str, int]) -> Floats:
    """(domains,) shares, which sum to 1.

    Args:
        mixture: `uniform`, `natural` (by available tokens), or shares by domain.
        domains: Training domains.
        available: Training tokens that exist of each, for `natural`.

    Raises:
        UserError: `natural` without the number of available tokens, or an unknown domain.
    """
    if mixture == "uniform":
        return np.full(len(domains), 1 / len(domains))
    if mixture == "natural":
        missing = [name for name in domains if name not in available]
        if missing:
            raise UserError(f"natural mixture: the available tokens of {missing} are not given")
        mixture = {name: float(available[name]) for name in domains}
    unknown = sorted(set(mixture) - set(domains))
    if unknown:
        raise UserError(f"mixture: {unknown} are not training domains; they are {list(domains)}")
    shares = np.array([mixture.get(name, 0.0) for name in domains], dtype=np.float64)
    return shares / shares.sum()
