"""Smooth minimisation over the allowed mixtures, with a bound on what was missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible

ValueAndSlope = Callable[[Floats], tuple[float, Floats]]


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """Where a minimisation ended."""

    shares: Floats
    value: float
    gap: float
    """For a convex function no allowed mixture is lower by more than this: the largest decrease
    that the tangent plane at `shares` promises (the Frank-Wolfe gap)."""


def minimise(function: ValueAndSlope, feasible: Feasible, start: Floats) -> Minimum:
    """Minimise a smooth function over the allowed mixtures from one start.

    Sequential quadratic programming (scipy's SLSQP) on values scaled to order one; the answer is
    put back exactly into the bounds.

    Args:
        function: Value and (domains,) gradient at (domains,) shares.
        feasible: The allowed mixtures.
        start: (domains,) shares.
    """
    value, slope = function(start)
    spread = max(float(np.ptp(slope)), 1e-12)

    def scaled(shares: Floats) -> tuple[float, Floats]:
        v, s = function(shares)
        return float((v - value) / spread), np.divide(s, spread)

    shares = solve_over(scaled, feasible, start)
    best, slope = function(shares)
    if best > value:
        shares, best, slope = start, value, function(start)[1]
    return Minimum(shares=shares, value=best, gap=_gap(slope, shares, feasible))


def solve_over(
    function: ValueAndSlope, feasible: Feasible, start: Floats, *, within_kl: bool = True
) -> Floats:
    """(domains,) shares where SLSQP ends, put exactly into the bounds.

    Args:
        function: As for `minimise`, of order one.
        feasible: The allowed mixtures.
        start: (domains,) shares.
        within_kl: Whether the bound on the divergence holds.
    """
    from scipy.optimize import minimize

    result = minimize(
        function,
        np.clip(start, feasible.low, feasible.high),
        jac=True,
        method="SLSQP",
        bounds=list(zip(feasible.low, feasible.high, strict=True)),
        constraints=_constraints(feasible, within_kl),
        options={"maxiter": 200, "ftol": 1e-12},
    )
    # Whatever the solver says of its end: a worse or broken answer is dropped for the start by the
    # caller, and the gap tells how far from the least value it is.
    found = result.x if np.isfinite(result.x).all() else start
    shares = np.clip(found, feasible.low, feasible.high)
    free = (shares > feasible.low) & (shares < feasible.high)
    room = np.where(free, shares, 0.0)
    shares = shares + (1 - shares.sum()) * room / max(room.sum(), 1e-300)
    # Spreading what is missing may end a rounding error below a bound of zero.
    return np.clip(shares, feasible.low, feasible.high)


def _constraints(feasible: Feasible, within_kl: bool) -> list[dict[str, Any]]:
    ones = np.ones(len(feasible.domains))
    rules: list[dict[str, Any]] = [
        {"type": "eq", "fun": lambda p: p.sum() - 1, "jac": lambda p: ones}
    ]
    if feasible.group_names:
        groups = feasible.groups
        rules += [
            {
                "type": "ineq",
                "fun": lambda p: groups @ p - feasible.group_low,
                "jac": lambda p: groups,
            },
            {
                "type": "ineq",
                "fun": lambda p: feasible.group_high - groups @ p,
                "jac": lambda p: -groups,
            },
        ]
    if feasible.max_kl is not None and within_kl:
        limit, prior = feasible.max_kl, np.maximum(feasible.prior, 1e-12)
        rules.append(
            {
                "type": "ineq",
                "fun": lambda p: limit - feasible.divergence(p),
                "jac": lambda p: -(np.log(np.maximum(p, 1e-12) / prior) + 1),
            }
        )
    return rules


def _gap(slope: Floats, shares: Floats, feasible: Feasible) -> float:
    """Largest decrease of the tangent plane over the bounds and groups."""
    from scipy.optimize import linprog

    if not feasible.group_names:
        return float(slope @ (shares - _cheapest(slope, feasible)))
    result = linprog(
        slope,
        A_ub=np.concatenate([feasible.groups, -feasible.groups]),
        b_ub=np.concatenate([feasible.group_high, -feasible.group_low]),
        A_eq=np.ones((1, len(shares))),
        b_eq=[1.0],
        bounds=list(zip(feasible.low, feasible.high, strict=True)),
    )
    return float(slope @ shares - result.fun)


def _cheapest(slope: Floats, feasible: Feasible) -> Floats:
    """The vertex of the bounded simplex where a linear function is least."""
    shares = feasible.low.copy()
    for i in np.argsort(slope):
        shares[i] += min(feasible.high[i] - shares[i], 1 - shares.sum())
    return shares
