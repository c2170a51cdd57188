"""How large the differences between the runs of one scale are beside their noise."""

from __future__ import annotations

import numpy as np

from mixscale.contracts.fit_record import Signal
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.runs import BASE, MIXTURE, Runs
from mixscale.fit.uncertainty.noise import Noise, groups_of_seeds, indicators


def signal(runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Signal | None:
    """Compare the differences between runs with the noise of such a difference.

    That more tokens lower the objective tells nothing about the mixture: what tells is how much
    more one domain's tokens lower it than another's. So around a base run the changes of all
    domains in one direction are compared with each other, less what the number of changed tokens
    explains. Without a base run mixtures are compared. The noise's own share of the mean squares is
    taken off.

    Args:
        runs: Of one scale.
        objective: The objective.
        noise: Of that scale.

    Returns:
        None where nothing tells the noise, or there is nothing to compare.
    """
    labels, variance = list(dict.fromkeys(runs.labels)), noise.variance
    if not variance or len(labels) < 2:
        return None
    around_base = BASE in runs.changed and MIXTURE not in runs.changed
    changes = _changes(runs, labels) if around_base else np.eye(len(labels)) - 1 / len(labels)
    apart = _without_size(runs, labels, changes) if around_base else changes
    degrees = np.linalg.matrix_rank(apart)
    if degrees == 0:
        return None
    effects = _effects(runs, labels)
    values = objective.value(runs.losses)

    def squares(rows: Floats) -> tuple[float, float]:
        """Sums over rows: what was measured less the noise's share, and that share."""
        of_noise = variance * float(((rows @ effects) ** 2).sum())
        return max(float(((rows @ effects @ values) ** 2).sum()) - of_noise, 0.0), of_noise

    # The mean square of a difference is twice that of what is differed from the mean.
    between, of_noise = (2 * part / degrees for part in squares(apart))
    change = squares(changes)[0] / len(changes) if around_base else None
    return Signal(
        change=None if change is None else float(np.sqrt(change)),
        between=float(np.sqrt(between)),
        noise=float(np.sqrt(of_noise)),
        runs_each=len(runs) / len(labels),
    )


def _effects(runs: Runs, labels: list[str]) -> Floats:
    """(labels, runs) turns measured values into effects of the mixtures, those of seeds apart."""
    number = np.array([labels.index(label) for label in runs.labels])
    columns = np.column_stack([indicators(number), indicators(groups_of_seeds(runs))])
    return np.linalg.pinv(columns)[: len(labels)]


def _changes(runs: Runs, labels: list[str]) -> Floats:
    """(changes, labels) each changed run less the base."""
    base = np.array([runs.changed[runs.labels.index(label)] == BASE for label in labels])
    return np.eye(len(labels))[~base] - base / base.sum()


def _without_size(runs: Runs, labels: list[str], changes: Floats) -> Floats:
    """(changes, labels) changes without the part that is proportional to the changed tokens.

    At the best mixture a token of any domain is worth the same, so what differs from that is what
    tells how to change it. Increases and decreases are taken each by themselves.
    """
    totals = runs.tokens.sum(-1)
    each = np.array([totals[[name == label for name in runs.labels]].mean() for label in labels])
    size = changes @ each
    apart = changes.copy()
    for side in (size > 0, size <= 0):
        unit = np.where(side, size, 0.0)
        apart[side] -= np.outer(unit, unit @ changes)[side] / max(float(unit @ unit), 1e-300)
    return apart
