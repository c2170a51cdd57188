"""Domains that the runs cannot tell anything about, since their share is the same in all."""

from __future__ import annotations

import numpy as np

from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs

_SAME_SHARE = 0.02
"""A share that varies by less than this part of itself is rounding, not a design."""
_NOTHING = 1e-6


def unvaried_shares(runs: Runs) -> dict[str, float]:
    """Share by domain, of the domains that have one share in all runs.

    A law has no measured effect of such a domain: whatever it says of more or less of it comes
    from its form. Runs that change one domain's tokens around a base leave no domain out.
    """
    if BASE in runs.changed:
        changed = set(runs.changed)
        shares = runs.shares[[name == BASE for name in runs.changed]].mean(0)
        if MIXTURE not in changed:
            return {
                name: float(share)
                for name, share in zip(runs.domains, shares, strict=True)
                if name not in changed
            }
    shares = runs.shares
    spread, largest = np.ptp(shares, axis=0), shares.max(0)
    still = (spread <= _SAME_SHARE * largest) | (largest <= _NOTHING)
    return {
        name: 0.0 if top <= _NOTHING else float(mean)
        for name, mean, top, same in zip(runs.domains, shares.mean(0), largest, still, strict=True)
        if same
    }
