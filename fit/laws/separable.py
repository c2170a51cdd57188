"""Tokens and mixture apart: `E + A (P/P0)^-a + D^-q / sum_j C_j h_j^g_j`.

D are the tokens of all domains and h_j the share of domain j. How losses fall with tokens is then
the same for every mixture but for a factor, which few runs settle well.

Repeated tokens leave D as it is and h_j smaller. Without repeats it is convex in the shares at a
given token budget and size: each h_j^g_j is concave for g_j <= 1, and the reciprocal of a positive
concave function is convex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.laws.shared.terms import Data, Prior, law_of_terms

_WORTH_WIDTH, _TOKENS_WIDTH, _SHARE_WIDTH = 2.0, 1.0, 0.7
_TOKENS, _SHARE = 0.3, 0.5
_LARGEST_EXPONENT = 600.0


@dataclass(frozen=True)
class Separable:
    """The data term; its parameters are log q, then log C and log g by domain."""

    convex_repeating: bool = False

    def prior(self, domains: int) -> Prior:
        """Worths are drawn to each other, not to a value: their common size is what loss tells."""
        penalty = np.zeros((2 * domains + 1, 2 * domains + 1))
        penalty[0, 0] = 1 / _TOKENS_WIDTH
        worths, powers = slice(1, domains + 1), slice(domains + 1, None)
        penalty[worths, worths] = (np.eye(domains) - 1 / domains) / _WORTH_WIDTH
        penalty[powers, powers] = np.eye(domains) / _SHARE_WIDTH
        by_domain = np.full(domains, 1.0)
        return Prior(
            low=np.concatenate([[-5.0], -60.0 * by_domain, -4.0 * by_domain]),
            high=np.concatenate([[1.5], 60.0 * by_domain, 0.0 * by_domain]),
            centre=np.concatenate([[np.log(_TOKENS)], 0.0 * by_domain, np.log(_SHARE) * by_domain]),
            penalty=penalty,
            common=1,
        )

    def scaled(self, theta: Floats, log_factor: Floats) -> Floats:
        """A larger term is one of smaller worths."""
        moved = theta.copy()
        moved[:, self._worths(theta)] -= log_factor[:, None]
        return moved

    def values(self, theta: Floats, data: Data) -> Floats:
        """(rows, points)."""
        return self._parts(theta, data)[2]

    def jacobian(self, theta: Floats, data: Data) -> tuple[Floats, Floats]:
        """(rows, points), (rows, points, parameters)."""
        worth, mass, value = self._parts(theta, data)
        worths, powers = self._worths(theta), self._powers(theta)
        slopes = np.empty((*mass.shape, theta.shape[1]))
        slopes[:, :, 0] = -np.exp(theta[:, :1]) * data.log_total * value
        np.multiply(worth, (-value / mass)[:, :, None], out=slopes[:, :, worths])
        log_share = self._log_share(data)
        g = np.exp(theta[:, powers])[:, None, :]
        np.multiply(slopes[:, :, worths], g * log_share, out=slopes[:, :, powers])
        return value, slopes

    def by_data(self, theta: Floats, data: Data) -> tuple[Floats, Floats]:
        """(rows, points, domains) by log x, (rows, points) by the log total."""
        worth, mass, value = self._parts(theta, data)
        g = np.exp(theta[:, self._powers(theta)])[:, None, :]
        by_log_x = (-value / mass)[:, :, None] * g * worth
        return by_log_x, -np.exp(theta[:, :1]) * value - by_log_x.sum(-1)

    def describe(self, theta: Floats) -> dict[str, Any]:
        """By the names of the formula."""
        row = theta[None]
        return {
            "q": float(np.exp(theta[0])),
            "log_C": theta[self._worths(row)].tolist(),
            "g": np.exp(theta[self._powers(row)]).tolist(),
        }

    def read(self, described: dict[str, Any]) -> Floats:
        """The parameters again."""
        return np.concatenate(
            [[np.log(described["q"])], described["log_C"], np.log(described["g"])]
        )

    def _parts(self, theta: Floats, data: Data) -> tuple[Floats, Floats, Floats]:
        """(rows, points, domains) `C_j h_j^g_j`, their (rows, points) sum, and the term."""
        g = np.exp(theta[:, self._powers(theta)])[:, None, :]
        exponent = g * self._log_share(data) + theta[:, None, self._worths(theta)]
        worth = np.exp(np.minimum(exponent, _LARGEST_EXPONENT))
        mass = np.maximum(worth.sum(-1), 1e-290)
        return worth, mass, np.exp(-np.exp(theta[:, :1]) * data.log_total) / mass

    @staticmethod
    def _log_share(data: Data) -> Floats:
        return data.log_x - data.log_total[:, None]

    @staticmethod
    def _worths(theta: Floats) -> slice:
        return slice(1, (theta.shape[1] + 1) // 2)

    @staticmethod
    def _powers(theta: Floats) -> slice:
        return slice((theta.shape[1] + 1) // 2, None)


LAW = law_of_terms(
    "separable",
    Separable(),
    summary="a power of the tokens over a sum of powers of the shares",
)
