"""Which of the kept documents are held out for validation.

The hash of the text alone decides, so that equal texts are always in the same split.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_HASHES = 1 << 64


def share_limit(share: float) -> np.uint64:
    """Give the hash below which a text is held out."""
    return np.uint64(min(int(share * _HASHES), _HASHES - 1))


def lowest_of_domains(
    low: NDArray[np.uint64], domains: NDArray[Any], documents: int
) -> dict[int, NDArray[np.uint64]]:
    """Take the lowest hashes of texts, so many for each domain, by its number.

    Args:
        low: (texts,) hashes.
        domains: (texts,) numbers of the domains.
        documents: How many for each domain, at most.
    """
    return {
        domain: np.unique(low[domains == domain])[:documents]
        for domain in np.unique(domains).tolist()
    }
