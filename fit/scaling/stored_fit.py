"""The mixture of a stored fit at any token budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import FitRecord, Mixture, Movement
from mixscale.fit.apply.exact_decimals import exact_shares
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.found_mixtures import name_binding
from mixscale.fit.inputs.objective import ObjectiveFunction, objective_function
from mixscale.fit.inputs.points import PlannedRun, unique_of
from mixscale.fit.inputs.scales import SAME_SCALE
from mixscale.fit.laws.registry import law_named
from mixscale.fit.metrics.no_worse import no_worse
from mixscale.fit.recommend import average_at
from mixscale.fit.scaling.largest_scale import Discrepancy, MovedLaw
from mixscale.fit.scaling.optimum_path import OptimumPath
from mixscale.fit.scaling.projection import MeasuredOptima
from mixscale.fit.scaling.stored_decision import current_of, decide
from mixscale.fit.uncertainty.gain import Predictor


def mixture_at(record: FitRecord, token_budget: int, parameters: int | None = None) -> Mixture:
    """Find a fit's mixture for a run, under the fit's constraints.

    A run that the fit itself answered for gets that answer.

    Args:
        record: The fit.
        token_budget: Tokens.
        parameters: Of the model; those of the largest runs when absent.

    Raises:
        UserError: The constraints allow no mixture at this budget, the model is smaller than those
            of all runs, or the fit's law cannot be rebuilt from its record.
    """
    _check_size(record, parameters)
    size = parameters
    if size is None and record.model_sizes:
        size = record.model_sizes[-1]
    for mixture in record.mixtures:
        # Earlier versions wrote no size.
        same = mixture.parameters in (size, None) or not record.model_sizes
        if mixture.token_budget == token_budget and same:
            return mixture.model_copy(update={"size_given": parameters is not None})
    feasible = allowed(record, token_budget)
    path, run = _path(record), planned_run(record, token_budget, size)
    found, predictor = path.at(run, feasible), path.predictor_for(run)
    shares = _held(record, path, run, found.shares)
    objective = None if predictor is None else _shown(record, predictor, shares)
    average = _average(record, token_budget, shares)
    decided = decide(record, token_budget, average, feasible, predictor)
    recommended = _held(record, path, run, decided.recommended)
    return Mixture(
        kind="projected",
        token_budget=token_budget,
        parameters=size,
        size_given=parameters is not None,
        moved=None
        if found.moved is None
        else Movement(
            tokens=found.moved.by_tokens,
            repeats=found.moved.by_repeats,
            size=found.moved.by_size,
        ),
        proportions=_exact(record, shares),
        quantities=None,
        intervals=None,
        average=dict(zip(record.domains, average.tolist(), strict=True)),
        recommended=_exact(record, recommended),
        recommended_gain=decided.gain,
        recommended_interval=decided.interval,
        decision=decided.said,
        predicted_objective=objective,
        predicted_by=None if predictor is None else predictor.name,
        binding=binding(record, shares, feasible),
    )


def _shown(record: FitRecord, predictor: Predictor, shares: Floats) -> float:
    """The predicted objective in its own unit and direction."""
    cost = float(predictor.predict(shares[None])[0])
    return _objective(record).shown_span(cost, cost)[0]


def _objective(record: FitRecord) -> ObjectiveFunction:
    """What the fit improved, with its limits on single results."""
    bits = record.reach.bits_per_nat
    results = tuple(record.results[name] for name in record.validation) if record.results else ()
    bound = objective_function(
        record.objective, record.validation, None if bits is None else np.array(bits), results
    )
    guard = no_worse(record.objective, record.validation, results, current_of(record))
    return replace(bound, guard=guard)


def _held(record: FitRecord, path: OptimumPath, run: PlannedRun, shares: Floats) -> Floats:
    """(domains,) shares under which no result is worse than the fit's objective allows."""
    guard = _objective(record).guard if record.objective.no_worse else None
    predictor = path.predictor_for(run)
    if predictor is None and path.repeats is not None:
        largest = planned_run(
            record,
            round(path.measured.totals[-1]),
            None if run.parameters is None else int(run.parameters),
        )
        predictor = replace(path.repeats, run=largest)
    if guard is None or predictor is None:
        return shares
    feasible = allowed(record, round(run.token_budget))
    return guard.within(feasible).held(predictor.predict_losses, shares)


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
        held=record.not_varied,
        covered=record.covered,
    )


def _check_size(record: FitRecord, parameters: int | None) -> None:
    smallest = min(record.model_sizes, default=0)
    if parameters is not None and parameters < smallest * (1 - SAME_SCALE):
        raise UserError(
            f"{format_tokens(parameters)} parameters: smaller than the models of all runs of fit "
            f"{record.fit_id}, which have {format_tokens(smallest)} or more"
        )


def planned_run(record: FitRecord, token_budget: int, parameters: int | None = None) -> PlannedRun:
    """A run of a token budget on the text that was available to the fit."""
    return PlannedRun(
        token_budget=float(token_budget),
        unique_tokens=unique_of(record.available_tokens, record.domains),
        parameters=None if parameters is None else float(parameters),
    )


def binding(record: FitRecord, shares: Floats, feasible: Feasible) -> dict[str, str]:
    """Name the rule that holds each domain which is held."""
    last = record.scales[-1]
    return name_binding(feasible, shares, last.no_response, last.too_noisy)


def _path(record: FitRecord) -> OptimumPath:
    """How the optimum moves, rebuilt from the record."""
    # Earlier versions asked the law itself (`law`); its measured optima are in the record too.
    reach = record.reach
    of_slopes, of_scales = reach.slope_error, reach.scale_error
    measured = MeasuredOptima(
        totals=np.array(reach.totals),
        shares=np.array(reach.shares),
        interior=np.array(reach.free, dtype=bool),
        slope_error=None if of_slopes is None else np.array(of_slopes),
        scale_error=None if of_scales is None else np.array(of_scales),
        unique_tokens=None if reach.unique_tokens is None else np.array(reach.unique_tokens),
    )
    return OptimumPath(
        measured=measured,
        predictor=_moved(record, _predictor(record, reach.law, reach.parameters)),
        repeats=_predictor(record, reach.repeats_law, reach.repeats_parameters),
    )


def _predictor(
    record: FitRecord, name: str | None, parameters: dict[str, Any] | None
) -> Predictor | None:
    """Rebuild a law, for a run with the model of the largest runs."""
    if name is None or parameters is None:
        return None
    load = law_named(name).load
    if load is None:
        answered = [m.token_budget for m in record.mixtures if m.token_budget]
        raise UserError(
            f"fit {record.fit_id}: law {name} cannot be rebuilt from its record (it defines "
            f"no `load`), so only the token budgets of the fit have a mixture: {answered}"
        )
    objective = _objective(record)
    law = load(parameters, record.domains, objective)
    largest = float(record.model_sizes[-1]) if record.model_sizes else None
    run = PlannedRun(token_budget=1.0, parameters=largest)
    return Predictor(name=name, law=law, draws=None, run=run)


def _moved(record: FitRecord, whole: Predictor | None) -> Predictor | None:
    """The law of all scales with what the runs of the largest one say otherwise."""
    stored = record.reach.largest_scale
    if whole is None or stored is None:
        return whole
    there = _predictor(record, whole.name, stored.parameters)
    assert there is not None
    unique = stored.unique_tokens
    run = PlannedRun(
        token_budget=stored.token_budget,
        unique_tokens=None if unique is None else np.array(unique),
        parameters=stored.model_parameters,
    )
    beside = Discrepancy(law=there.law, run=run, part=stored.part)
    return replace(whole, law=MovedLaw(whole=whole.law, beside=beside))


def _average(record: FitRecord, token_budget: int, shares: Floats) -> Floats:
    """(domains,) mean of the redrawn optima, interpolated: a record does not hold the draws."""
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


def _exact(record: FitRecord, shares: Floats) -> dict[str, float]:
    texts = exact_shares(dict(zip(record.domains, shares.tolist(), strict=True)))
    return {name: float(text) for name, text in texts.items()}
