"""A power law in effective tokens, over all scales and model sizes at once.

Each validation loss is `E + A (P/P0)^-a + (sum_j t_j n_j^g)^(-b)` in the parameters P of the model
and the tokens n_j of the training domains: domain j is worth t_j, more of the same domain is worth
less with each token (g < 1), and the whole follows the usual power law of loss in data.

It is convex in the shares at a given token budget and size, repeated tokens included: what N_j
tokens are worth is concave in N_j, and n^g is concave and increasing for g <= 1, so the sum is
concave, and a decreasing convex function of a concave one is convex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.laws.shared.terms import Data, Prior, law_of_terms

# Widths of the prior: worths within a factor e^2 of each other, exponents within e of the centre.
_WORTH_WIDTH, _EXPONENT_WIDTH, _SATURATION_WIDTH = 2.0, 1.0, 0.7
_EXPONENT, _SATURATION = 0.3, 0.8
_LARGEST_EXPONENT = 650.0


@dataclass(frozen=True)
class EffectiveTokens:
    """The data term `(sum_j t_j n_j^g)^(-b)`; its parameters are log b, log g, log t by domain."""

    convex_repeating: bool = True

    def prior(self, domains: int) -> Prior:
        """Worths are drawn to each other, not to a value: their common size is what loss tells."""
        penalty = np.zeros((domains + 2, domains + 2))
        penalty[0, 0], penalty[1, 1] = 1 / _EXPONENT_WIDTH, 1 / _SATURATION_WIDTH
        penalty[2:, 2:] = (np.eye(domains) - 1 / domains) / _WORTH_WIDTH
        return Prior(
            low=np.concatenate([[-5.0, -3.0], np.full(domains, -60.0)]),
            high=np.concatenate([[1.5, 0.0], np.full(domains, 60.0)]),
            centre=np.concatenate([np.log([_EXPONENT, _SATURATION]), np.zeros(domains)]),
            penalty=penalty,
            common=2,
        )

    def scaled(self, theta: Floats, log_factor: Floats) -> Floats:
        """A larger term is one of smaller worths."""
        moved = theta.copy()
        moved[:, 2:] -= (log_factor * np.exp(-theta[:, 0]))[:, None]
        return moved

    def values(self, theta: Floats, data: Data) -> Floats:
        """(rows, points)."""
        return self._parts(theta, data)[2]

    def jacobian(self, theta: Floats, data: Data) -> tuple[Floats, Floats]:
        """(rows, points), (rows, points, parameters)."""
        worth, mass, power = self._parts(theta, data)
        b, g = np.exp(theta[:, :1]), np.exp(theta[:, 1:2])
        by_mass = -b * power / mass
        slopes = np.empty((*mass.shape, theta.shape[1]))
        slopes[:, :, 0] = -b * np.log(mass) * power
        slopes[:, :, 1] = by_mass * g * _dot(worth, data.log_x)
        np.multiply(worth, by_mass[:, :, None], out=slopes[:, :, 2:])
        return power, slopes

    def by_data(self, theta: Floats, data: Data) -> tuple[Floats, Floats]:
        """(rows, points, domains) by log x; it does not depend on the total beside."""
        worth, mass, power = self._parts(theta, data)
        factor = -np.exp(theta[:, :1] + theta[:, 1:2]) * power / mass
        return factor[:, :, None] * worth, np.zeros_like(mass)

    def describe(self, theta: Floats) -> dict[str, Any]:
        """By the names of the formula."""
        b, g = np.exp(theta[:2]).tolist()
        return {"b": b, "g": g, "log_t": theta[2:].tolist()}

    def read(self, described: dict[str, Any]) -> Floats:
        """The parameters again."""
        return np.array([np.log(described["b"]), np.log(described["g"]), *described["log_t"]])

    def _parts(self, theta: Floats, data: Data) -> tuple[Floats, Floats, Floats]:
        """(rows, points, domains) `t_j n_j^g`, their (rows, points) sum, and its power."""
        g = np.exp(theta[:, 1])[:, None, None]
        # Far outside the fitted runs a worth may leave what a float can hold.
        worth = np.exp(np.minimum(g * data.log_x + theta[:, None, 2:], _LARGEST_EXPONENT))
        mass = np.maximum(worth.sum(-1), 1e-290)
        return worth, mass, mass ** -np.exp(theta[:, :1])


def _dot(worth: Floats, log_x: Floats) -> Floats:
    """(rows, points) sums over domains."""
    if len(log_x) == 1:
        return np.einsum("rnd,nd->rn", worth, log_x[0])
    return np.einsum("rnd,rnd->rn", worth, log_x)


LAW = law_of_terms(
    "joint",
    EffectiveTokens(),
    summary="a power law in effective tokens, over all scales and model sizes at once",
)
