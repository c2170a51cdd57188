"""A law, its optima and what they rest on, from measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.contracts.errors import UserError
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible, feasible_set, scale_into_bounds
from mixscale.fit.inputs.named_mixtures import shares_of
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.laws import law_named
from mixscale.fit.laws.base import Draws, FittedLaw, Law
from mixscale.fit.output.wording import (
    far_remarks,
    intervals_sentence,
    reach_remarks,
    silence,
    trends,
)
from mixscale.fit.recommend import advise, step
from mixscale.fit.scaling.projection import (
    SMALLEST_SHARE,
    Measured,
    carry,
    carry_draws,
    kept_trend,
    slopes,
)
from mixscale.fit.scaling.supported_trend import borne_out
from mixscale.fit.solution import Answer, Question, ScaleFit, Solution, name_binding
from mixscale.fit.uncertainty.gain import Judge, gain_over, optimism
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.noise import Noise

CURRENT = "current"
FAR_LAW = "joint"
_FAR_DRAWS = 60
_FEW = 200
"""Draws where each optimum is a solve of its own."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every answer takes into account."""

    question: Question
    others: dict[str, Floats]
    """Mixtures that gains are stated over, `current` first."""
    part: float
    """How far to go from the current mixture."""


@dataclass(frozen=True, kw_only=True)
class Far:
    """What carries a mixture to budgets that were not measured."""

    fits: tuple[ScaleFit, ...]
    measured: Measured
    spans_scales: bool


def solve(runs: Runs, law: Law, noise: Noise, question: Question) -> Solution:
    """Fit a law, find the best mixture at each scale and carry it to the budgets.

    Raises:
        UserError: The runs do not suit the law, or no mixture is allowed at a measured scale.
    """
    if (question.constraints.groups or question.constraints.max_kl) and question.draws > _FEW:
        question = replace(question, draws=_FEW)
    fits = _fit_scales(runs, law, noise, question)
    measured = _measured(fits)
    others = _other_mixtures(question, runs.domains)
    last = fits[-1]
    far = far_law(runs, law, noise, question, fits)
    second = _second_law(runs, law, noise, question, last, far)
    current = others[CURRENT]
    advice = advise(last.judge, last.shares, last.draw_shares, current, last.feasible, second)
    part = advice.part if advice.change else 0.0
    plan = Plan(question=question, others=others, part=part)
    carried = [] if law.spans_scales else trends(measured, runs.domains)
    answers = [_measured_answer(fit, plan) for fit in fits]
    warnings = [intervals_sentence(fits, law, noise, question), *silence(fits), *carried]
    reach = Far(fits=fits, measured=measured, spans_scales=law.spans_scales)
    for budget in question.budgets:
        try:
            answers.append(
                _projected_answer(reach, budget, far and replace(far, budget=float(budget)), plan)
            )
        except UserError as error:
            warnings.append(f"No mixture for {format_tokens(budget)} tokens: {error}")
    warnings += reach_remarks(fits, question.budgets, law.spans_scales)
    warnings += far_remarks(answers, law)
    return Solution(
        scales=fits,
        measured=measured,
        spans_scales=law.spans_scales,
        answers=tuple(answers),
        far=far,
        current=others[CURRENT],
        advice=advice,
        warnings=tuple(sentence for sentence in warnings if sentence),
    )


def _fit_scales(runs: Runs, law: Law, noise: Noise, question: Question) -> tuple[ScaleFit, ...]:
    rng = np.random.default_rng(question.seed)
    if not law.spans_scales:
        parts = [(scale, runs.at(scale)) for scale in runs.scales.tolist()]
        laws = [(s, part, law.fit(part, question.target, noise.at(s))) for s, part in parts]
        draws = [_draws(fitted, rng, question.draws) for _, _, fitted in laws]
    else:
        whole = law.fit(runs, question.target, noise)
        laws = [(scale, runs.at(scale), whole) for scale in runs.scales]
        draws = [_draws(whole, rng, question.draws)] * len(laws)
    return tuple(
        _fit_scale(law.name, scale, part, fitted, drawn, question)
        for (scale, part, fitted), drawn in zip(laws, draws, strict=True)
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
    return ScaleFit(
        name=name,
        scale=scale,
        runs=runs,
        target=question.target,
        law=law,
        feasible=feasible,
        optimum=law.optimum(feasible, scale),
        draws=draws,
        draw_shares=None if draws is None else draws.optima(feasible, scale) / scale,
    )


def far_law(
    runs: Runs, law: Law, noise: Noise, question: Question, fits: Sequence[ScaleFit]
) -> Judge | None:
    """What predicts the objective at budgets that were not measured.

    A law that is fitted to each scale does not say how the objective goes on. There `joint`, fitted
    to the same runs, predicts it, if they lie at two scales or more; else nothing does.
    """
    last = fits[-1]
    if law.spans_scales:
        return last.judge
    if len(fits) < 2:
        return None
    fitted = law_named(FAR_LAW).fit(runs, question.target, noise)
    rng = np.random.default_rng([question.seed, 1])
    draws = _draws(fitted, rng, min(question.draws, _FAR_DRAWS)) if question.budgets else None
    return Judge(name=FAR_LAW, law=fitted, draws=draws, budget=last.scale)


def _second_law(
    runs: Runs, law: Law, noise: Noise, question: Question, last: ScaleFit, far: Judge | None
) -> Judge | None:
    """Another law that judges the mixture; for `joint` itself none is at hand."""
    if law.name == FAR_LAW:
        return None
    if far is not None and far.name == FAR_LAW:
        return far
    fitted = law_named(FAR_LAW).fit(runs, question.target, noise)
    return Judge(name=FAR_LAW, law=fitted, draws=None, budget=last.scale)


def _measured(fits: Sequence[ScaleFit]) -> Measured:
    plain = Measured(
        totals=np.array([fit.scale for fit in fits]),
        shares=np.stack([fit.shares for fit in fits]),
        free=np.stack([fit.free for fit in fits]),
    )
    draws = _draw_shares(fits)
    if draws is None or len(fits) < 2 or not plain.moving.any():
        return plain
    logs = np.log(np.maximum(draws[:, :, plain.moving], SMALLEST_SHARE))
    weighted = replace(plain, scale_error=np.maximum(np.median(logs.std(0), -1), 1e-9))
    error = np.zeros(plain.shares.shape[1])
    error[plain.moving] = slopes(weighted, draws).std(0)
    return replace(weighted, slope_error=error)


def _draw_shares(fits: Sequence[ScaleFit]) -> Floats | None:
    """(draws, scales, domains), or None when a scale has no draws."""
    parts = [fit.draw_shares for fit in fits]
    if any(part is None for part in parts):
        return None
    return np.stack([part for part in parts if part is not None], 1)


def _measured_answer(fit: ScaleFit, plan: Plan) -> Answer:
    return _answer("measured", fit.judge, fit, fit.shares, fit.draw_shares, fit.feasible, plan)


def _projected_answer(reach: Far, budget: int, judge: Judge | None, plan: Plan) -> Answer:
    last, question = reach.fits[-1], plan.question
    feasible = feasible_set(
        question.constraints, last.runs.domains, token_budget=budget, available=question.available
    )
    if reach.spans_scales:
        shares = last.law.optimum(feasible, budget).tokens / budget
        drawn = None if last.draws is None else last.draws.optima(feasible, budget) / budget
        return _answer("projected", judge, last, shares, drawn, feasible, plan, float(budget))
    shares, draws = carry(reach.measured, budget, feasible), _draw_shares(reach.fits)
    drawn = None if draws is None else carry_draws(reach.measured, draws, budget, feasible)
    follows = 1.0
    if judge is not None and budget > last.scale and kept_trend(reach.measured) > 0:
        held = scale_into_bounds(last.shares, feasible)
        follows = borne_out(judge, held, shares)
        shares = held + follows * (shares - held)
        if drawn is not None and draws is not None:
            still = scale_into_bounds(draws[:, -1], feasible)
            drawn = still + follows * (drawn - still)
    answer = _answer("projected", judge, last, shares, drawn, feasible, plan, float(budget))
    return replace(answer, follows=follows)


def _answer(
    kind: str,
    judge: Judge | None,
    fit: ScaleFit,
    shares: Floats,
    drawn: Floats | None,
    feasible: Feasible,
    plan: Plan,
    budget: float | None = None,
) -> Answer:
    average = shares if drawn is None else drawn.mean(0)
    objective, bounds, gains = None, None, ()
    if judge is not None:
        objective = float(judge.objective(shares[None])[0])
        values = judge.drawn(shares[None])
        bounds = None if values is None else _around(objective, interval(values))
        # Another law than the one that chose the mixture is no friend of its luck.
        own = judge.law is fit.law
        luck = optimism(judge, drawn if own else None, plan.others[CURRENT])
        gains = tuple(
            gain_over(judge, shares, name, other, luck) for name, other in plan.others.items()
        )
    return Answer(
        kind=kind,
        budget=fit.scale if budget is None else budget,
        shares=shares,
        interval=None if drawn is None else _around(shares, interval(drawn)),
        average=average,
        recommended=step(plan.part, average, plan.others[CURRENT], feasible),
        objective=objective,
        objective_interval=bounds,
        judge=None if judge is None else judge.name,
        gains=gains,
        binding=name_binding(feasible, shares, fit.law.silent(), fit.law.unclear()),
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
