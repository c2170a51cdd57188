"""A law, its optima and what they rest on, from measured runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.found_mixtures import (
    FoundMixture,
    FoundMixtures,
    Question,
    ScaleFit,
    name_binding,
)
from mixscale.fit.inputs.named_mixtures import shares_of
from mixscale.fit.inputs.points import PlannedRun
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws.base import Draws, FittedLaw, Law
from mixscale.fit.laws.registry import REFERENCE, reference_law
from mixscale.fit.recommend import advise, step
from mixscale.fit.scaling.optimum_path import OptimumPath
from mixscale.fit.scaling.projection import SMALLEST_SHARE, MeasuredOptima, slopes
from mixscale.fit.uncertainty.gain import Predictor, gain_over, optimism
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.noise import Noise

CURRENT = "current"
_REFERENCE_DRAWS = 60
_FEW = 200
"""Draws where each optimum is a solve of its own."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every answer takes into account."""

    question: Question
    others: dict[str, Floats]
    """Mixtures that gains are stated over, `current` first."""
    step_size: float
    """How far to go from the current mixture, 0 to 1."""


def find_mixtures(runs: Runs, law: Law, noise: Noise, question: Question) -> FoundMixtures:
    """Fit a law, find the best mixture at each scale and project it to the token budgets.

    Raises:
        UserError: The runs do not suit the law, or no mixture is allowed at a measured scale.
    """
    if (question.constraints.groups or question.constraints.max_kl) and question.draws > _FEW:
        question = replace(question, draws=_FEW)
    fits = _fit_scales(runs, law, noise, question)
    last = fits[-1]
    others = _other_mixtures(question, runs.domains)
    current = others[CURRENT]
    path = OptimumPath(
        measured=_measured(fits),
        predictor=_predictor_beyond(runs, law, noise, question, fits),
        spans_scales=law.spans_scales,
    )
    second = _second_opinion(runs, law, noise, question, last, path.predictor)
    advice = advise(last.predictor, last.shares, last.draw_shares, current, last.feasible, second)
    step_size = advice.step_size if advice.change else 0.0
    plan = Plan(question=question, others=others, step_size=step_size)
    answers = [_measured_answer(fit, plan) for fit in fits]
    unanswered: dict[int, str] = {}
    for budget in question.budgets:
        try:
            answers.append(_projected_answer(path, fits, budget, plan))
        except UserError as error:
            unanswered[budget] = str(error)
    return FoundMixtures(
        scales=fits,
        path=path,
        answers=tuple(answers),
        current=current,
        advice=advice,
        unanswered=unanswered,
    )


def planned_run(runs: Runs, token_budget: float, available: Mapping[str, int]) -> PlannedRun:
    """A run of a token budget on the text that is available, with the model of the largest runs."""
    known = all(domain in available for domain in runs.domains)
    unique = np.array([available[d] for d in runs.domains], float) if known else None
    return runs.planned(float(token_budget), unique)


def _fit_scales(runs: Runs, law: Law, noise: Noise, question: Question) -> tuple[ScaleFit, ...]:
    rng = np.random.default_rng(question.seed)
    if not law.spans_scales:
        by_scale = [(scale, runs.at(scale)) for scale in runs.scales.tolist()]
        laws = [(s, few, law.fit(few, question.objective, noise.at(s))) for s, few in by_scale]
        draws = [_draws(fitted, rng, question.draws) for _, _, fitted in laws]
    else:
        whole = law.fit(runs, question.objective, noise)
        laws = [(scale, runs.at(scale), whole) for scale in runs.scales]
        draws = [_draws(whole, rng, question.draws)] * len(laws)
    return tuple(
        _fit_scale(law.name, scale, few, fitted, drawn, question)
        for (scale, few, fitted), drawn in zip(laws, draws, strict=True)
    )


def _draws(law: FittedLaw, rng: np.random.Generator, count: int) -> Draws | None:
    return law.draws(rng, count) if count else None


def _fit_scale(
    name: str, scale: float, runs: Runs, law: FittedLaw, draws: Draws | None, question: Question
) -> ScaleFit:
    feasible = feasible_set(
        question.constraints,
        runs.domains,
        token_budget=scale if scale > 1 else None,
        available=question.available,
    )
    run = planned_run(runs, scale, question.available)
    return ScaleFit(
        name=name,
        scale=scale,
        run=run,
        runs=runs,
        objective=question.objective,
        law=law,
        feasible=feasible,
        optimum=law.optimum(feasible, run),
        draws=draws,
        draw_shares=None if draws is None else draws.optima(feasible, run),
    )


def _predictor_beyond(
    runs: Runs, law: Law, noise: Noise, question: Question, fits: Sequence[ScaleFit]
) -> Predictor | None:
    """What predicts the objective at budgets that were not measured.

    A law that is fitted to each scale does not say how the objective goes on. There the reference
    law, fitted to the same runs, predicts it, if they lie at two scales or more; else nothing does.
    """
    last = fits[-1]
    if law.spans_scales:
        return last.predictor
    if len(fits) < 2:
        return None
    fitted = reference_law().fit(runs, question.objective, noise)
    rng = np.random.default_rng([question.seed, 1])
    count = min(question.draws, _REFERENCE_DRAWS)
    draws = _draws(fitted, rng, count) if question.budgets else None
    return Predictor(name=REFERENCE, law=fitted, draws=draws, run=last.run)


def _second_opinion(
    runs: Runs,
    law: Law,
    noise: Noise,
    question: Question,
    last: ScaleFit,
    beyond: Predictor | None,
) -> Predictor | None:
    """Another law that predicts the gain; for the reference law itself none is at hand."""
    if law.name == REFERENCE:
        return None
    if beyond is not None and beyond.name == REFERENCE:
        return beyond
    fitted = reference_law().fit(runs, question.objective, noise)
    return Predictor(name=REFERENCE, law=fitted, draws=None, run=last.run)


def _measured(fits: Sequence[ScaleFit]) -> MeasuredOptima:
    plain = MeasuredOptima(
        totals=np.array([fit.scale for fit in fits]),
        shares=np.stack([fit.shares for fit in fits]),
        interior=np.stack([fit.interior for fit in fits]),
    )
    draws = _draw_shares(fits)
    if draws is None or len(fits) < 2 or not plain.has_trend.any():
        return plain
    logs = np.log(np.maximum(draws[:, :, plain.has_trend], SMALLEST_SHARE))
    weighted = replace(plain, scale_error=np.maximum(np.median(logs.std(0), -1), 1e-9))
    error = np.zeros(plain.shares.shape[1])
    error[plain.has_trend] = slopes(weighted, draws).std(0)
    return replace(weighted, slope_error=error)


def _draw_shares(fits: Sequence[ScaleFit]) -> Floats | None:
    """(draws, scales, domains), or None when a scale has no draws."""
    drawn = [fit.draw_shares for fit in fits]
    if any(shares is None for shares in drawn):
        return None
    return np.stack([shares for shares in drawn if shares is not None], 1)


def _measured_answer(fit: ScaleFit, plan: Plan) -> FoundMixture:
    return _answer(
        "measured", fit.predictor, fit, fit.shares, fit.draw_shares, fit.feasible, plan, fit.scale
    )


def _projected_answer(
    path: OptimumPath, fits: Sequence[ScaleFit], budget: int, plan: Plan
) -> FoundMixture:
    last, question = fits[-1], plan.question
    feasible = feasible_set(
        question.constraints, last.runs.domains, token_budget=budget, available=question.available
    )
    run = planned_run(last.runs, budget, question.available)
    found = path.at(run, feasible)
    drawn: Floats | None
    if path.spans_scales:
        drawn = None if last.draws is None else last.draws.optima(feasible, run)
    else:
        draws = _draw_shares(fits)
        drawn = None if draws is None else path.drawn_at(run, feasible, draws, found.followed)
    answer = _answer(
        "projected", path.predictor_for(run), last, found.shares, drawn, feasible, plan, budget
    )
    return replace(answer, followed=found.followed)


def _answer(
    kind: str,
    predictor: Predictor | None,
    fit: ScaleFit,
    shares: Floats,
    drawn: Floats | None,
    feasible: Feasible,
    plan: Plan,
    budget: float,
) -> FoundMixture:
    average = shares if drawn is None else drawn.mean(0)
    objective, bounds, gains = None, None, ()
    if predictor is not None:
        objective = float(predictor.predict(shares[None])[0])
        values = predictor.predict_drawn(shares[None])
        bounds = None if values is None else _around(objective, interval(values))
        # Another law than the one that chose the mixture does not share its errors.
        own = predictor.law is fit.law
        too_good = optimism(predictor, drawn if own else None, plan.others[CURRENT])
        gains = tuple(
            gain_over(predictor, shares, name, other, too_good)
            for name, other in plan.others.items()
        )
    return FoundMixture(
        kind=kind,
        budget=float(budget),
        shares=shares,
        interval=None if drawn is None else _around(shares, interval(drawn)),
        average=average,
        recommended=step(plan.step_size, average, plan.others[CURRENT], feasible),
        objective=objective,
        objective_interval=bounds,
        predicted_by=None if predictor is None else predictor.name,
        gains=gains,
        binding=name_binding(feasible, shares, fit.law.no_response(), fit.law.too_noisy()),
    )


def _around(value: float | Floats, bounds: Floats) -> Floats:
    """Bounds that hold the value too: far from the runs draws may lie to one side of it."""
    return np.stack([np.minimum(value, bounds[0]), np.maximum(value, bounds[1])])


def _other_mixtures(question: Question, domains: Sequence[str]) -> dict[str, Floats]:
    """Mixtures that gains are stated over, the one in use first."""
    uniform = shares_of("uniform", domains, question.available)
    others = {CURRENT: uniform if question.current is None else question.current}
    others["uniform"] = uniform
    if question.available and all(domain in question.available for domain in domains):
        others["natural"] = shares_of("natural", domains, question.available)
    return others
