"""The order in which the runs of a sweep start."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

_SWAPS = 2000
_WORK = 200_000
"""Runs times swaps, at most: with many runs longest first leaves little to gain."""


def end_of(costs: Sequence[float], places: int) -> float:
    """Predict when the last of some runs ends, each started as soon as there is a place.

    Args:
        costs: Of the runs in their order, in seconds or anything proportional to them.
        places: Runs at a time.

    Returns:
        The end, in the unit of the costs.
    """
    free = [0.0] * places
    for cost in costs:
        heapq.heapreplace(free, free[0] + cost)
    return max(free)


def best_order(costs: Sequence[float], places: int) -> list[int]:
    """Order runs so that the last one ends early.

    Longest first is at most a third longer than the best order (Graham 1969, SIAM J. Appl. Math.
    17:416), and takes 4 % longer for the 15 runs of seven domains on two cores. Swaps that bring
    the end forward make up for most of that.

    Returns:
        Positions in `costs`; the same for equal arguments.
    """
    order = sorted(range(len(costs)), key=lambda position: -costs[position])
    if places >= len(costs):
        return order
    bound = max(sum(costs) / places, max(costs))
    end = end_of([costs[position] for position in order], places)
    rng = np.random.default_rng(0)
    for first, second in rng.integers(0, len(costs), (min(_SWAPS, _WORK // len(costs)), 2)):
        if end <= bound * 1.001:
            break
        changed = list(order)
        changed[first], changed[second] = changed[second], changed[first]
        changed_end = end_of([costs[position] for position in changed], places)
        # Equal ends too: a swap that changes nothing may open the way for the next.
        if changed_end <= end:
            order, end = changed, changed_end
    return order
