"""The shares that the runs cover, and how far beyond them the best mixture is looked for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.runs import MIXTURE, Runs

BEYOND_RUNS = "beyond the runs"
"""Why a domain gets no more, or no less: no run came near."""

Range = tuple[float, float]


def covered_shares(runs: Runs, current: Floats, factor: float) -> dict[str, Range]:
    """Range of shares by domain within which the best mixture is looked for.

    Runs that were left out of a fit tell how well a law predicts among the runs. Of mixtures far
    outside they say nothing, and a law's form can be very wrong there: of 28 runs with at most 19 %
    Wikipedia, `joint` took 70 % to be best and promised 0.36 nats; trained, that mixture lost 0.73
    (docs/validation/advice.md).

    Args:
        runs: Measured runs. Those that change one domain's tokens around a base set no least share:
            their law sees each domain alone, and gives little to one that does not answer. A domain
            that does answer is no better known far beyond the runs: from runs with at most 16 %
            Wikipedia the projection took 38 %, and lost 0.17 nats (docs/validation/final-runs.md).
        current: (domains,) the mixture in use. It can be kept, wherever it lies.
        factor: How many times the largest share, and the smallest share by how much.

    Returns:
        Smallest and largest share by domain.
    """
    shares = runs.shares
    low = np.minimum(shares.min(0) / factor, current)
    if MIXTURE not in runs.changed:
        low = np.zeros_like(low)
    high = np.maximum(np.minimum(shares.max(0) * factor, 1.0), current)
    return dict(zip(runs.domains, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def limit_to_covered(
    covered: Mapping[str, Range],
    domains: tuple[str, ...],
    limits: tuple[Floats, Floats],
    reasons: tuple[list[str], list[str]],
) -> None:
    """Tighten bounds to what is covered, as far as what the user asked of a domain allows."""
    low, high = limits
    for i, domain in enumerate(domains):
        if domain not in covered or low[i] == high[i]:
            continue
        least, most = covered[domain]
        if max(most, low[i]) < high[i]:
            high[i], reasons[1][i] = max(most, low[i]), BEYOND_RUNS
        if min(least, high[i]) > low[i]:
            low[i], reasons[0][i] = min(least, high[i]), BEYOND_RUNS
