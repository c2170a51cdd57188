"""A gain as the tokens that it saves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.uncertainty.gain import GainOver, Predictor

_REACH = 1000.0
"""Times as many tokens, or as few, that are looked at."""
_POINTS = 601


def tokens_saved(predictor: Predictor, shares: Floats, gain: GainOver) -> Floats | None:
    """Find the part of a run's tokens that a mixture needs fewer to be as good as another one.

    A run of N tokens of this mixture is as good as the planned run of the other one where the
    predicted objective has risen by the gain from that of the planned run of this mixture. Under a
    law that falls with tokens a larger gain saves more, so the ends of the gain's interval give
    those of the saving.

    Args:
        predictor: A law of several token budgets, at the planned run.
        shares: (domains,) of the mixture.
        gain: What it gains over the other one.

    Returns:
        (3,) expected and 90 % interval, (1,) without an interval: below zero where more tokens are
        needed; None where a gain is more than any number of tokens looked at makes up for.
    """
    budgets = predictor.run.token_budget * np.geomspace(1 / _REACH, _REACH, _POINTS)
    rise = np.array([_objective(predictor, shares, budget) for budget in budgets])
    rise = np.minimum.accumulate(rise - _objective(predictor, shares, predictor.run.token_budget))
    wanted = np.array([gain.gain, *([] if gain.interval is None else gain.interval)])
    if not (np.isfinite(rise).all() and rise[-1] <= wanted[0] <= rise[0] and np.ptp(rise) > 0):
        return None
    falling = np.concatenate([[True], np.diff(rise) < 0])
    known, logs = rise[falling][::-1], np.log(budgets[falling])[::-1]
    return 1 - np.exp(np.interp(wanted, known, logs)) / predictor.run.token_budget


def _objective(predictor: Predictor, shares: Floats, budget: float) -> float:
    run = replace(predictor.run, token_budget=float(budget))
    return float(replace(predictor, run=run).predict(shares[None])[0])
