"""BiMix: `(B s^-beta + C) r^-alpha` in a domain's own share r with the run's tokens s.

arXiv 2405.14908, eq. 5, with its factor A_i part of B and C. A validation loss depends on the
share of the training domain of the same name alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.points import Points
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import FittedLaw
from mixscale.fit.laws.shared.shrinkage import Units, drawn_priors, fit_shrunken, typical_size
from mixscale.fit.laws.shared.smooth import SmoothLaw, smooth_law

_SMALLEST_SHARE = 1e-4
_NAMES = ("B", "C", "beta", "alpha")
_OF_LOSS = np.array([1.0, 1.0, 0.0, 0.0])
"""Which parameters carry the unit of the loss."""


@dataclass(frozen=True, kw_only=True)
class Bivariate:
    """The family; parameters are log B, log C, log beta, log alpha."""

    unit: float
    own: NDArray[np.intp]
    """(validation,) index of the training domain of the same name."""
    convex: bool = True

    def fit(
        self,
        points: Points,
        losses: Floats,
        weight: Floats,
        start: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> Floats:
        """(draws, validation, parameters)."""
        generators = [None] * len(self.own) if rng is None else rng.spawn(len(self.own))
        models = [_Model(*self._logs(points, int(own))) for own in self.own]
        columns = [
            fit_shrunken(
                model,
                losses[:, :, v],
                weight,
                start=None if start is None else start[:, v],
                pull=drawn_priors(model, (len(losses), 1), generators[v]),
            )
            for v, model in enumerate(models)
        ]
        return np.stack(columns, 1)

    def predict(self, theta: Floats, points: Points) -> Floats:
        """(rows, points) losses."""
        rows = [
            _Model(*self._logs(points, int(own))).values(row[None])[0]
            for row, own in zip(theta, np.resize(self.own, len(theta)), strict=True)
        ]
        return np.stack(rows)

    def slopes(self, theta: Floats, point: Points) -> Floats:
        """(rows, domains) derivatives by tokens."""
        tokens, total = point.tokens[0], float(point.totals[0])
        slopes = np.zeros((len(theta), len(tokens)))
        for v, own in enumerate(self.own):
            logs = self._logs(point, int(own))
            loss = _Model(*logs).values(theta[v : v + 1])[0, 0]
            alpha, beta = np.exp(theta[v, 3]), np.exp(theta[v, 2])
            scaled = np.exp(theta[v, 0] - beta * logs[0][0] - alpha * logs[1][0])
            slopes[v] += (alpha * loss - beta * scaled) / total
            slopes[v, own] -= alpha * loss / max(tokens[own], _SMALLEST_SHARE * total)
        return slopes

    def describe(self, theta: Floats) -> dict[str, Any]:
        """Named parameters of one validation loss."""
        return dict(zip(_NAMES, np.exp(theta).tolist(), strict=True)) | {"unit_tokens": self.unit}

    def _logs(self, points: Points, own: int) -> tuple[Floats, Floats]:
        """(points,) log of the total in units, log of the domain's own share."""
        total = points.totals
        share = np.maximum(points.tokens[:, own] / total, _SMALLEST_SHARE)
        return np.log(total / self.unit), np.log(share)


class _Model:
    """Predictions at the runs for one validation loss."""

    # Where runs and shares are typical, B and C make up a sixth and the rest of a typical loss.
    middle = np.array([np.log(0.18), np.log(0.82), np.log(0.3), np.log(0.1)])
    penalty = np.diag([0.5, 0.5, 1.0, 0.5])
    low, high = np.array([-20.0, -20.0, -5.0, -8.0]), np.array([20.0, 20.0, 1.0, 2.0])

    def __init__(self, log_total: Floats, log_share: Floats) -> None:
        self.log_total, self.log_share = log_total, log_share

    def units(self, y: Floats, weight: Floats) -> Units:
        return typical_size(y, weight)

    def into(self, units: Units, theta: Floats) -> Floats:
        return theta - np.log(units.size)[:, None] * _OF_LOSS

    def out_of(self, units: Units, theta: Floats) -> Floats:
        return theta + np.log(units.size)[:, None] * _OF_LOSS

    def tightness(self, theta: Floats) -> Floats:
        return np.ones(len(theta))

    def centre(self, units: Units) -> Floats:
        return self.middle[None]

    def start(self, y: Floats, weight: Floats, centre: Floats) -> Floats:
        return centre.copy()

    def values(self, theta: Floats) -> Floats:
        scaled, constant = self._terms(theta)
        return scaled + constant

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        scaled, constant = self._terms(theta)
        beta, alpha = np.exp(theta[:, 2:3]), np.exp(theta[:, 3:4])
        values = scaled + constant
        by_beta = -beta * self.log_total * scaled
        by_alpha = -alpha * self.log_share * values
        return values, np.stack([scaled, constant, by_beta, by_alpha], -1)

    def _terms(self, theta: Floats) -> tuple[Floats, Floats]:
        power = -np.exp(theta[:, 3:4]) * self.log_share
        scaled = np.exp(theta[:, :1] - np.exp(theta[:, 2:3]) * self.log_total + power)
        return scaled, np.exp(theta[:, 1:2] + power)


def bivariate_for(runs: Runs) -> Bivariate:
    """The family for some runs.

    Raises:
        UserError: A validation domain is no training domain.
    """
    foreign = [name for name in runs.validation if name not in runs.domains]
    if foreign:
        raise UserError(
            f"law bimix: validation domains {foreign} are no training domains; the law links a "
            "loss to its own domain's share only, so use another law for them"
        )
    unit = float(np.exp(np.log(runs.tokens.sum(-1)).mean()))
    return Bivariate(unit=unit, own=_own(runs.domains, runs.validation))


def load_bimix(
    parameters: dict[str, Any], domains: tuple[str, ...], objective: ObjectiveFunction
) -> FittedLaw:
    """Rebuild the law from its parameters."""
    rows = [parameters[name] for name in objective.validation]
    theta = np.log([[row[name] for name in _NAMES] for row in rows])
    family = Bivariate(unit=rows[0]["unit_tokens"], own=_own(domains, objective.validation))
    return SmoothLaw(domains=domains, objective=objective, family=family, theta=theta, runs=None)


def _own(domains: tuple[str, ...], validation: tuple[str, ...]) -> NDArray[np.intp]:
    return np.array([domains.index(name) for name in validation])


LAW = smooth_law(
    "bimix",
    bivariate_for,
    load=load_bimix,
    coefficients=lambda runs: len(_NAMES),
    spans_scales=True,
    summary="a power of the domain's own share times a power of the tokens (BiMix)",
)
