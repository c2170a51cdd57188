"""What a law sees of a run: the tokens it trained on, what there was of them, the model's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Bools, Floats, Ints

PLENTY = 1e18
"""Unique tokens of a domain of which nothing is known beside others of which it is: more than any
run reads, and finite, so that no law has to treat it apart."""


def unique_of(available: Mapping[str, float], domains: Sequence[str]) -> Floats | None:
    """(domains,) unique tokens of what there is, `PLENTY` of what is not named; None: unknown."""
    if not available:
        return None
    return np.array([float(available.get(domain, PLENTY)) for domain in domains])


@dataclass(frozen=True, kw_only=True)
class Points:
    """Runs without their results, one row each; what laws are fitted to and asked about.

    A law that needs more of a run than its tokens reads it here, so that no signature changes.
    """

    tokens: Floats
    """(points, domains) training tokens; shares where the token budget is not known."""
    unique_tokens: Floats | None = None
    """(points, domains) tokens that each domain had to offer before it repeats, `PLENTY` for those
    of which nothing is known; None: unknown for all."""
    parameters: Floats | None = None
    """(points,) parameters of the model; None: unknown. Without embeddings where that is known of
    all runs, see `Runs.parameters_are`."""
    runs: Ints | None = None
    """(points,) number of the training run that each point is a checkpoint of; None: each is a run
    of its own."""

    def __len__(self) -> int:
        """The number of points."""
        return len(self.tokens)

    @property
    def totals(self) -> Floats:
        """(points,) tokens of all domains."""
        return self.tokens.sum(-1)

    @property
    def shares(self) -> Floats:
        """(points, domains) of each point's tokens."""
        return self.tokens / self.tokens.sum(-1, keepdims=True)

    def where(self, keep: Bools | Sequence[int] | slice) -> Points:
        """The points of a mask, of indices, or of a slice."""
        rows = np.arange(len(self))[keep if isinstance(keep, slice) else np.asarray(keep)]
        return Points(
            tokens=self.tokens[rows],
            unique_tokens=None if self.unique_tokens is None else self.unique_tokens[rows],
            parameters=None if self.parameters is None else self.parameters[rows],
            runs=None if self.runs is None else self.runs[rows],
        )


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run to find a mixture for: everything of a point but the shares."""

    token_budget: float
    """Tokens; 1 where the budget is not known and laws see shares."""
    unique_tokens: Floats | None = None
    """(domains,) tokens that each domain has to offer; None: unknown."""
    parameters: float | None = None
    """Of the model; None: unknown."""

    def with_shares(self, shares: Floats) -> Points:
        """The run with each of (points, domains) shares."""
        unique, parameters = self.unique_tokens, self.parameters
        return Points(
            tokens=shares * self.token_budget,
            unique_tokens=None if unique is None else np.broadcast_to(unique, shares.shape),
            parameters=None if parameters is None else np.full(len(shares), float(parameters)),
        )
