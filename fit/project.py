"""The mixture of a stored fit at any token budget."""

from __future__ import annotations

import numpy as np

from fit.carry import Measured, carry
from fit.exact_shares import exact_shares
from fit.feasible import feasible_set
from fit.law import FittedLaw
from fit.laws import law_named
from fit.objective import target
from fit.record import FitRecord, Mixture, Reach
from fit.solve import name_binding


def project(record: FitRecord, token_budget: int) -> Mixture:
    """Carry a fit's measured optima to a token budget, under the fit's constraints.

    Raises:
        UserError: The constraints allow no mixture at this budget.
    """
    feasible = feasible_set(
        record.constraints,
        record.domains,
        token_budget=token_budget,
        available=record.available_tokens,
    )
    reach = record.reach
    predicted = None
    if reach.how == "law":
        optimum = _law(record).optimum(feasible, token_budget)
        shares, predicted = optimum.tokens / token_budget, optimum.objective
    else:
        shares = carry(_measured(reach), token_budget, feasible)
    last = record.scales[-1]
    exact = exact_shares(dict(zip(record.domains, shares.tolist(), strict=True)))
    return Mixture(
        kind="projected",
        token_budget=token_budget,
        proportions={name: float(text) for name, text in exact.items()},
        quantities=None,
        intervals=None,
        predicted_objective=predicted,
        binding=name_binding(feasible, shares, last.silent, last.unclear),
    )


def _measured(reach: Reach) -> Measured:
    error = reach.slope_error
    return Measured(
        totals=np.array(reach.totals),
        shares=np.array(reach.shares),
        free=np.array(reach.free, dtype=bool),
        slope_error=None if error is None else np.array(error),
    )


def _law(record: FitRecord) -> FittedLaw:
    """Rebuild a law that spans scales."""
    load, reach = law_named(record.law).load, record.reach
    assert load is not None
    assert reach.parameters is not None
    bits = None if reach.bits_per_nat is None else np.array(reach.bits_per_nat)
    return load(reach.parameters, record.domains, target(record.objective, record.validation, bits))
