"""What a law predicts of each result when more of the tokens go to one domain."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mixscale.contracts.fit_record import ReadResult
from mixscale.fit.arrays import Floats
from mixscale.fit.found_mixtures import ScaleFit
from mixscale.fit.inputs.columns import LOSSES
from mixscale.fit.metrics.scale import scale_of

MOVED_SHARE = 0.05
"""Part of all tokens: small beside what runs vary, large beside rounding."""


def moves(fit: ScaleFit, current: Floats, held: Collection[str]) -> dict[str, dict[str, float]]:
    """Predict by domain, and by result in its own unit, what more of the domain changes.

    Args:
        fit: One scale.
        current: (domains,) the mixture in use.
        held: Domains that no run varies, of which nothing is known.
    """
    domains = fit.runs.domains
    moved = (1 - MOVED_SHARE) * current + MOVED_SHARE * np.eye(len(domains))
    predicted = fit.predictor.predict_losses(np.concatenate([current[None], moved]))
    values = in_own_units(predicted, fit.runs.results)
    changes = values[1:] - values[0]
    if not np.isfinite(changes).all():
        return {}
    return {
        domain: dict(zip(fit.runs.validation, row.tolist(), strict=True))
        for domain, row in zip(domains, changes, strict=True)
        if domain not in held
    }


def in_own_units(losses: Floats, results: tuple[ReadResult, ...]) -> Floats:
    """(..., validation) what laws see, in the units that tasks are measured in; losses in nats."""
    if not any(result.metric not in LOSSES for result in results):
        return losses
    columns = zip(results, np.moveaxis(losses, -1, 0), strict=True)
    return np.stack([scale_of(result).measured(column) for result, column in columns], -1)
