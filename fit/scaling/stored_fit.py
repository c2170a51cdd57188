"""The mixture of a stored fit at any token budget."""

from __future__ import annotations

import numpy as np

from mixscale.contracts.fit_record import FitRecord, Mixture, Reach
from mixscale.fit.apply.exact_decimals import exact_shares
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible, feasible_set, scale_into_bounds
from mixscale.fit.inputs.objective import target
from mixscale.fit.laws import law_named
from mixscale.fit.recommend import average_at, step
from mixscale.fit.scaling.projection import Measured, carry, kept_trend
from mixscale.fit.scaling.supported_trend import borne_out
from mixscale.fit.solution import name_binding
from mixscale.fit.uncertainty.gain import Judge


def project(record: FitRecord, token_budget: int) -> Mixture:
    """Carry a fit's measured optima to a token budget, under the fit's constraints.

    A budget that the fit itself answered for gets that answer.

    Raises:
        UserError: The constraints allow no mixture at this budget.
    """
    for mixture in record.mixtures:
        if mixture.token_budget == token_budget:
            return mixture
    feasible = allowed(record, token_budget)
    reach, judge = record.reach, _judge(record, token_budget)
    if reach.how == "law":
        assert judge is not None
        shares = judge.law.optimum(feasible, token_budget).tokens / token_budget
    else:
        shares = _tempered(_measured(reach), token_budget, feasible, judge)
    predicted = None if judge is None else float(judge.objective(shares[None])[0])
    average = _average(record, token_budget, shares)
    return Mixture(
        kind="projected",
        token_budget=token_budget,
        proportions=_exact(record, shares),
        quantities=None,
        intervals=None,
        average=dict(zip(record.domains, average.tolist(), strict=True)),
        recommended=_exact(record, _recommended(record, average, feasible)),
        predicted_objective=predicted,
        predicted_by=None if judge is None else judge.name,
        binding=binding(record, shares, feasible),
    )


def allowed(record: FitRecord, token_budget: int) -> Feasible:
    """The mixtures that a fit's constraints allow at a token budget.

    Raises:
        UserError: There is none.
    """
    return feasible_set(
        record.constraints,
        record.domains,
        token_budget=token_budget,
        available=record.available_tokens,
    )


def binding(record: FitRecord, shares: Floats, feasible: Feasible) -> dict[str, str]:
    """Name the rule that holds each domain which is held."""
    last = record.scales[-1]
    return name_binding(feasible, shares, last.silent, last.unclear)


def _average(record: FitRecord, token_budget: int, shares: Floats) -> Floats:
    known = [m for m in record.mixtures if m.average is not None and m.token_budget]
    if not known:
        return shares
    known.sort(key=lambda m: m.token_budget or 0)
    return average_at(
        token_budget,
        shares,
        [m.token_budget or 0 for m in known],
        np.array([[m.proportions[d] for d in record.domains] for m in known]),
        np.array([[(m.average or {})[d] for d in record.domains] for m in known]),
    )


def _recommended(record: FitRecord, average: Floats, feasible: Feasible) -> Floats:
    said = record.recommended
    current = said.current or dict.fromkeys(record.domains, 1 / len(record.domains))
    return step(
        said.part if said.action == "change" else 0.0,
        average,
        np.array([current[name] for name in record.domains]),
        feasible,
    )


def _exact(record: FitRecord, shares: Floats) -> dict[str, float]:
    texts = exact_shares(dict(zip(record.domains, shares.tolist(), strict=True)))
    return {name: float(text) for name, text in texts.items()}


def _measured(reach: Reach) -> Measured:
    of_slopes, of_scales = reach.slope_error, reach.scale_error
    return Measured(
        totals=np.array(reach.totals),
        shares=np.array(reach.shares),
        free=np.array(reach.free, dtype=bool),
        slope_error=None if of_slopes is None else np.array(of_slopes),
        scale_error=None if of_scales is None else np.array(of_scales),
    )


def _tempered(
    measured: Measured, token_budget: int, feasible: Feasible, judge: Judge | None
) -> Floats:
    """(domains,) projected shares, as far as the law of all scales bears them out."""
    shares = carry(measured, token_budget, feasible)
    beyond = token_budget > measured.totals[-1] and kept_trend(measured) > 0
    if judge is None or not beyond:
        return shares
    held = scale_into_bounds(measured.shares[-1], feasible)
    return held + borne_out(judge, held, shares) * (shares - held)


def _judge(record: FitRecord, token_budget: int) -> Judge | None:
    """Rebuild the law that predicts the objective at any budget."""
    reach = record.reach
    if reach.law is None or reach.parameters is None:
        return None
    load = law_named(reach.law).load
    assert load is not None
    bits = None if reach.bits_per_nat is None else np.array(reach.bits_per_nat)
    aim = target(record.objective, record.validation, bits)
    law = load(reach.parameters, record.domains, aim)
    return Judge(name=reach.law, law=law, draws=None, budget=float(token_budget))
