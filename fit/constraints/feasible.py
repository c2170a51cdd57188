"""The mixtures that the constraints allow at one token budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Floats

TOLERANCE = 1e-9
# Solvers for groups and divergence stop this near a bound.
_SOLVER_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Feasible:
    """Shares `p` with `sum p = 1`, bounds, and whatever else the constraints ask."""

    domains: tuple[str, ...]
    low: Floats
    """(domains,) smallest shares."""
    high: Floats
    """(domains,) largest shares."""
    low_reason: tuple[str, ...]
    """Which rule gave each lower bound."""
    high_reason: tuple[str, ...]
    group_names: tuple[str, ...]
    groups: Floats
    """(groups, domains) ones where a domain belongs to a group."""
    group_low: Floats
    group_high: Floats
    prior: Floats
    """(domains,) the mixture that the divergence is measured from."""
    max_kl: float | None = None
    """Nats."""

    @property
    def plain(self) -> bool:
        """Whether there are only bounds on single domains."""
        return not self.group_names and self.max_kl is None

    def divergence(self, shares: Floats) -> float:
        """Kullback-Leibler divergence from the prior, nats."""
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(shares > 0, shares * np.log(shares / self.prior), 0.0)
        return float(terms.sum())

    def binding(self, shares: Floats) -> dict[str, str]:
        """Name the rule that holds each domain which sits at a bound."""
        slack = TOLERANCE if self.plain else _SOLVER_TOLERANCE
        names = {}
        for i, domain in enumerate(self.domains):
            if shares[i] <= self.low[i] + slack:
                names[domain] = self.low_reason[i]
            elif shares[i] >= self.high[i] - slack:
                names[domain] = self.high_reason[i]
            else:
                names.update(self._shared_binding(i, shares, slack))
        return names

    def _shared_binding(self, i: int, shares: Floats, slack: float) -> dict[str, str]:
        """The group or the divergence that holds a domain off its own bounds."""
        for g, name in enumerate(self.group_names):
            share = float(self.groups[g] @ shares)
            at = share <= self.group_low[g] + slack or share >= self.group_high[g] - slack
            if self.groups[g, i] and at:
                return {self.domains[i]: f"group {name}"}
        if self.max_kl is not None and self.divergence(shares) >= self.max_kl - slack:
            return {self.domains[i]: "max_kl"}
        return {}
