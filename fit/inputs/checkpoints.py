"""Checkpoints of a training run that say nothing new, or nothing of the way to come."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mixscale.fit.arrays import Floats

_EXPONENTS = np.linspace(0.05, 0.5, 19)
"""Of the falling loss in a run's tokens. Between runs 0.2 to 0.4 have been measured (Hoffmann et
al., arXiv 2203.15556); what falls faster than 0.5 along one run is no power law of its data."""
_OFF_THE_LAW = 0.008
"""Part of the loss at the end: a checkpoint that lies further above the power law through the later
ones is early. On SlimPajama it is 0.010 to 0.13 for checkpoints below 8B tokens and 0.003 to 0.007
from there on, on the three sizes of RedPajama, from 10B tokens on, at most 0.005."""
_MOST_RUNS = 0.8
"""Part of the runs that have to lie above it."""
_LATER = 5
"""Checkpoints that a power law with three parameters is fitted to, at least."""
_EARLY_PART = 0.5
"""Of a run's tokens: what comes after is not early."""
_MOST_CHECKPOINTS = 24


def copies(runs: Sequence[str], tokens: Floats, losses: Floats) -> dict[int, int]:
    """Rows whose losses the next checkpoint of the same run repeats, with that row.

    Args:
        runs: By row, the training run.
        tokens: (rows,) of the run so far.
        losses: (rows, validation).
    """
    found = {}
    for rows in _by_run(runs, tokens):
        for row, following in pairwise(rows):
            if np.array_equal(losses[row], losses[following]):
                found[row] = following
    return found


def early_tokens(
    runs: Sequence[str], tokens: Floats, scale: Floats, sizes: Floats | None, losses: Floats
) -> dict[float, float]:
    """The tokens up to which runs have not come onto their power law, by model size.

    Along each run `E + B N^-b` is fitted to the checkpoints after each one, for the mean of the
    losses. A scale is early where most runs lie clearly above what comes after, and those of the
    scale before it no less so: a start decays, a zigzag does not. What is smaller is early, too.

    Args:
        runs: By row, the training run.
        tokens: (rows,) of the run so far.
        scale: (rows,) the same, one number for those that are nearly equal.
        sizes: (rows,) parameters; one size where None, whose key is 0.
        losses: (rows, validation).
    """
    means = losses.mean(1)
    above: dict[tuple[float, float], list[float]] = {}
    for rows in _by_run(runs, tokens):
        size = 0.0 if sizes is None else float(sizes[rows[0]])
        for row, part in _above_the_law(rows, tokens, means).items():
            above.setdefault((size, float(scale[row])), []).append(part)
    early: dict[float, float] = {}
    before: dict[float, float] = {}
    for (size, at), parts in sorted(above.items()):
        middle = float(np.median(parts))
        most = np.mean(np.array(parts) > _OFF_THE_LAW / 2) >= _MOST_RUNS
        if middle > _OFF_THE_LAW and most and before.get(size, np.inf) >= middle:
            early[size] = at
        before[size] = middle
    return early


def _by_run(runs: Sequence[str], tokens: Floats) -> list[list[int]]:
    """Rows of each run, in the order of their tokens."""
    rows: dict[str, list[int]] = {}
    for row in np.argsort(tokens, kind="stable"):
        rows.setdefault(runs[int(row)], []).append(int(row))
    return list(rows.values())


def _above_the_law(rows: Sequence[int], tokens: Floats, means: Floats) -> dict[int, float]:
    """How far each early checkpoint lies above the law of those after, as part of the last loss."""
    # Many checkpoints that lie close together say no more than some of them.
    if len(rows) > _MOST_CHECKPOINTS:
        at = np.geomspace(tokens[rows[0]], tokens[rows[-1]], _MOST_CHECKPOINTS)
        places = np.searchsorted(tokens[list(rows)] * (1 + 1e-9), at)
        rows = [rows[i] for i in sorted(set(np.minimum(places, len(rows) - 1).tolist()))]
    if len(rows) <= _LATER:
        return {}
    last = rows[-1]
    x, y = tokens[list(rows)] / tokens[last], means[list(rows)]
    found = {}
    for k, row in enumerate(rows[:-_LATER]):
        if x[k] > _EARLY_PART:
            break
        found[row] = float(y[k] - _expected(x[k + 1 :], y[k + 1 :], x[k])) / float(y[-1])
    return found


def _expected(x: Floats, y: Floats, at: float) -> float:
    """The loss at an earlier point of the power law through some points."""
    power = x[None] ** -_EXPONENTS[:, None]
    centred, mean = power - power.mean(1, keepdims=True), y.mean()
    slope = np.maximum(centred @ (y - mean) / (centred**2).sum(1), 0.0)
    left = ((y - mean - slope[:, None] * centred) ** 2).sum(1)
    best = int(np.argmin(left))
    return float(mean + slope[best] * (at ** -_EXPONENTS[best] - power[best].mean()))
