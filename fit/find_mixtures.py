"""A law, its optima and what they rest on, from measured runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.target import Target
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
from mixscale.fit.inputs.points import PlannedRun, unique_of
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.sizes import visible_runs
from mixscale.fit.laws.base import Draws, FittedLaw, Law, Optimum
from mixscale.fit.laws.registry import REFERENCE, reference_law
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.recommend import Advice, Evidence, advise, step
from mixscale.fit.scaling.deciding_scales import DecidingScales, deciding_scales
from mixscale.fit.scaling.largest_scale import Discrepancy, Fit, MovedLaw, supported_part
from mixscale.fit.scaling.optimum_path import OptimumPath
from mixscale.fit.scaling.projection import SMALLEST_SHARE, MeasuredOptima, slopes
from mixscale.fit.scaling.tokens_saved import tokens_saved
from mixscale.fit.uncertainty.gain import GainOver, Predictor, gain_over
from mixscale.fit.uncertainty.intervals import interval
from mixscale.fit.uncertainty.noise import Noise

CURRENT = "current"
NEAREST = "nearest allowed"
ADVICE_DRAWS = 1000
"""Resamples behind the advice, whatever number is asked for: another number gives no other
advice."""
_REFERENCE_DRAWS = 60
_FEW = 200
"""Draws where each optimum is a solve of its own."""
# Each part draws from a generator of its own, so that no part moves another's draws.
_OF_SCALE, _BEYOND = 0, 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every answer takes into account."""

    question: Question
    runs: Runs
    noise: Noise
    deciding: DecidingScales
    others: dict[str, Floats]
    """Mixtures that gains are stated over, `current` first."""
    second: Predictor | None
    """Another law, fitted to the same runs."""


def find_mixtures(runs: Runs, law: Law, noise: Noise, question: Question) -> FoundMixtures:
    """Fit a law, find the best mixture at each scale and carry it to the token budgets.

    Each answer has a decision of its own: that of a measured scale by the law fitted to its runs,
    that of another budget by the law of all scales that reaches it.

    Raises:
        UserError: The runs do not suit the law, or no mixture is allowed at a measured scale.
    """
    deciding = deciding_scales(runs, law)
    fits = _fit_scales(runs, law, noise, question, deciding)
    path = OptimumPath(
        measured=_measured(fits, question),
        predictor=_predictor_beyond(runs, law, noise, question, fits, deciding),
        repeats=fits[-1].predictor,
    )
    plan = Plan(
        question=question,
        runs=runs,
        noise=noise,
        deciding=deciding,
        others=_other_mixtures(question, runs.domains),
        second=_second_opinion(runs, law, noise, question, fits[-1], path.predictor),
    )
    answers = [_measured_answer(fit, plan) for fit in fits]
    unanswered: dict[int, str] = {}
    largest = answers[-1]
    for target in question.targets:
        try:
            answers.append(_projected_answer(path, fits, target, plan, largest.advice))
        except UserError as error:
            unanswered[target.tokens] = str(error)
    return FoundMixtures(
        scales=fits,
        deciding=deciding,
        path=path,
        answers=tuple(_with_tokens_saved(answer, path, plan) for answer in answers),
        current=plan.others[CURRENT],
        several_sizes=len(runs.sizes) > 1,
        unanswered=unanswered,
    )


def planned_run(
    runs: Runs,
    token_budget: float,
    available: Mapping[str, int],
    parameters: float | None = None,
) -> PlannedRun:
    """A run of a token budget on the text that is available.

    Args:
        runs: Those that a law is fitted to.
        token_budget: Tokens.
        available: Unique tokens by domain; of the others there is plenty.
        parameters: Of the model; those of the largest of the runs when absent.
    """
    return runs.planned(float(token_budget), unique_of(available, runs.domains), parameters)


def _fit_scales(
    runs: Runs, law: Law, noise: Noise, question: Question, deciding: DecidingScales
) -> tuple[ScaleFit, ...]:
    if deciding.together:
        whole = law.fit(runs, question.objective, noise)
        at = deciding.scales[-1]
        few = runs.of_largest_size.at(at)
        return (_fit_scale(law.name, at, few, whole, question),)
    fits = []
    for scale in deciding.scales:
        few = runs.of_largest_size.at(scale)
        fitted = law.fit(few, question.objective, noise.at(scale))
        fits.append(_fit_scale(law.name, scale, few, fitted, question))
    return tuple(fits)


def _draws(law: FittedLaw, question: Question, *part: int) -> Draws | None:
    """The draws behind the advice."""
    if not question.draws:
        return None
    rng = np.random.default_rng([question.advice_seed, *part])
    return law.draws(rng, _few_enough(ADVICE_DRAWS, question))


def _few_enough(count: int, question: Question) -> int:
    slow = question.constraints.groups or question.constraints.max_kl
    return min(count, _FEW) if slow else count


def _fit_scale(name: str, scale: float, runs: Runs, law: FittedLaw, question: Question) -> ScaleFit:
    feasible = _feasible(question, runs.domains, scale if scale > 1 else None)
    run = planned_run(runs, scale, question.available)
    pools = _pools(runs, run)
    if pools is not None:
        run = replace(run, unique_tokens=pools)
    draws = _draws(law, question, _OF_SCALE, round(scale))
    shares = None if draws is None else draws.optima(feasible, run)
    return ScaleFit(
        name=name,
        scale=scale,
        run=run,
        runs=runs,
        objective=question.objective,
        law=law,
        feasible=feasible,
        optimum=_held_optimum(law, feasible, run, question),
        draws=draws,
        draw_shares=shares,
        shown=_shown_draws(law, question, feasible, run, shares),
    )


def _held_optimum(
    law: FittedLaw, feasible: Feasible, run: PlannedRun, question: Question
) -> Optimum:
    """The optimum with what no result may get worse by, under laws that do not know of it too."""
    found = law.optimum(feasible, run)
    shares = _held(
        found.shares, Predictor(name="", law=law, draws=None, run=run), feasible, question
    )
    if shares is found.shares:
        return found
    objective = float(law.predict_objective(run.with_shares(shares[None]))[0])
    how = f"{found.how}; moved towards the mixture in use until no result is worse than allowed"
    return replace(found, shares=shares, objective=objective, exact=False, how=how)


def _held(shares: Floats, predictor: Predictor, feasible: Feasible, question: Question) -> Floats:
    """(domains,) shares under which no result is worse than allowed; they are moved if one is."""
    guard = question.objective.guard
    if guard is None:
        return shares
    return guard.within(feasible).held(predictor.predict_losses, shares)


def _pools(runs: Runs, run: PlannedRun) -> Floats | None:
    """(domains,) unique tokens that all runs of a scale had, where those are not a run's to come.

    What is best in runs whose pools repeat is best with these repeats.
    """
    unique = runs.unique_tokens
    if unique is None or run.unique_tokens is None or np.ptp(unique, axis=0).any():
        return None
    return unique[0] if (unique[0] < run.unique_tokens).any() else None


def _shown_draws(
    law: FittedLaw, question: Question, feasible: Feasible, run: PlannedRun, shares: Floats | None
) -> Floats | None:
    """Optima behind the intervals that are shown, where a seed or fewer draws were asked for."""
    if shares is None:
        return None
    if question.seed is None:
        return shares[: max(question.draws, 1)]
    rng = np.random.default_rng([question.seed, round(run.token_budget)])
    drawn = law.draws(rng, _few_enough(question.draws, question))
    return None if drawn is None else drawn.optima(feasible, run)


def _feasible(question: Question, domains: Sequence[str], token_budget: float | None) -> Feasible:
    return feasible_set(
        question.constraints,
        domains,
        token_budget=token_budget,
        available=question.available,
        held=question.held,
        covered=question.covered,
    )


def _predictor_beyond(
    runs: Runs,
    law: Law,
    noise: Noise,
    question: Question,
    fits: Sequence[ScaleFit],
    deciding: DecidingScales,
) -> Predictor | None:
    """What predicts the objective at budgets that were not measured.

    One scale does not tell how the objective goes on, whatever form a law has. With two or more a
    law that spans them predicts it, fitted to the runs of all: the law itself, or the reference.
    """
    spanning = law if law.spans_scales else reference_law()
    if not deciding.reach or not (len(fits) > 1 or deciding.together or spanning.sees_parameters):
        return None
    last = fits[-1]
    if deciding.together:
        return last.predictor
    seen = visible_runs(runs, spanning)
    fitted = spanning.fit(seen, question.objective, noise)
    drawn = _draws(fitted, question, _BEYOND) if question.budgets else None
    whole = Predictor(name=spanning.name, law=fitted, draws=drawn, run=last.run)
    return _at_the_largest_scale(whole, spanning, seen, noise, question, last)


def _at_the_largest_scale(
    whole: Predictor, law: Law, runs: Runs, noise: Noise, question: Question, last: ScaleFit
) -> Predictor:
    """The law of all scales with what the runs of the largest one say otherwise."""
    own = last.name == law.name
    few, at_scale = runs.of_largest_size.at(last.scale), noise.at(last.scale)
    there = last.law if own else law.fit(few, question.objective, at_scale)
    part = supported_part(
        Fit(law=law, fitted=whole.law, runs=runs, objective=question.objective, noise=noise),
        Fit(law=law, fitted=there, runs=few, objective=question.objective, noise=at_scale),
        last.scale,
    )
    if not part:
        return whole
    drawn = last.draws if own else _draws(there, question, _BEYOND, round(last.scale))
    moved = MovedLaw(whole=whole.law, beside=Discrepancy(law=there, run=last.run, part=part))
    if whole.draws is None or drawn is None:
        return replace(whole, law=moved)
    return replace(whole, law=moved, draws=moved.joined(whole.draws, drawn))


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
    reference = reference_law()
    fitted = reference.fit(visible_runs(runs, reference), question.objective, noise)
    return Predictor(name=REFERENCE, law=fitted, draws=None, run=last.run)


def _measured(fits: Sequence[ScaleFit], question: Question) -> MeasuredOptima:
    plain = MeasuredOptima(
        totals=np.array([fit.scale for fit in fits]),
        shares=np.stack([fit.shares for fit in fits]),
        interior=np.stack([fit.interior for fit in fits]),
        unique_tokens=_unique_at(fits, question),
    )
    draws = _draw_shares(fits)
    if draws is None or len(fits) < 2 or not plain.has_trend.any():
        return plain
    logs = np.log(np.maximum(draws[:, :, plain.has_trend], SMALLEST_SHARE))
    weighted = replace(plain, scale_error=np.maximum(np.median(logs.std(0), -1), 1e-9))
    error = np.zeros(plain.shares.shape[1])
    error[plain.has_trend] = slopes(weighted, draws).std(0)
    return replace(weighted, slope_error=error)


def _unique_at(fits: Sequence[ScaleFit], question: Question) -> Floats | None:
    """(scales, domains) unique tokens, where the runs of some scale had pools of their own."""
    whole = unique_of(question.available, fits[-1].runs.domains)
    unique = [fit.run.unique_tokens for fit in fits]
    if whole is None or all(tokens is None or (tokens == whole).all() for tokens in unique):
        return None
    return np.stack([whole if tokens is None else tokens for tokens in unique])


def _draw_shares(fits: Sequence[ScaleFit]) -> Floats | None:
    """(draws, scales, domains), or None when a scale has no draws."""
    drawn = [fit.draw_shares for fit in fits]
    if any(shares is None for shares in drawn):
        return None
    return np.stack([shares for shares in drawn if shares is not None], 1)


def _measured_answer(fit: ScaleFit, plan: Plan) -> FoundMixture:
    second = None if plan.second is None else replace(plan.second, draws=None, run=fit.run)
    advice = advise(
        fit.predictor,
        fit.shares,
        fit.draw_shares,
        plan.others[CURRENT],
        fit.feasible,
        second,
        risk=plan.question.risk,
        near=plan.question.near,
    )
    advice = _unless_too_few(advice, plan)
    return _answer(
        "measured", fit.predictor, fit, fit.shares, fit.draw_shares, fit.feasible, plan, advice
    )


def _projected_answer(
    path: OptimumPath,
    fits: Sequence[ScaleFit],
    target: Target,
    plan: Plan,
    measured: Advice,
) -> FoundMixture:
    last, question = fits[-1], plan.question
    feasible = _feasible(question, last.runs.domains, target.tokens)
    run = planned_run(plan.runs, target.tokens, question.available, target.parameters)
    found = path.at(run, feasible)
    there = path.predictor_for(run) or _at_the_measured_scale(last, run)
    found = replace(found, shares=_held(found.shares, there, feasible, question))
    draws = _draw_shares(fits)
    drawn = None if draws is None else path.drawn_at(run, feasible, draws, found)
    predictor = path.predictor_for(run)
    evidence = Evidence(
        step_size=measured.shortened.wanted if measured.shortened else measured.step_size,
        optimism=measured.optimism,
        no_response=measured.no_response,
    )
    advice = advise(
        predictor or last.predictor,
        found.shares,
        drawn,
        plan.others[CURRENT],
        feasible,
        plan.second if predictor is None else _at_the_measured_scale(last, run),
        evidence,
        question.risk,
        question.near,
    )
    answer = _answer(
        "projected", predictor, last, found.shares, drawn, feasible, plan,
        _unless_too_few(advice, plan), target.tokens,
    )  # fmt: skip
    return replace(
        answer,
        followed=found.followed,
        parameters=run.parameters,
        size_given=target.parameters is not None,
        moved=found.moved,
    )


def _at_the_measured_scale(last: ScaleFit, run: PlannedRun) -> Predictor:
    """What the largest scale's own law says of a planned run's mixture, at its own token budget.

    With so few unique tokens that every domain is read as often as in the planned run: what moves
    with repetition would else look like a loss.
    """
    at = last.run
    if run.unique_tokens is not None:
        unique = run.unique_tokens * (at.token_budget / run.token_budget)
        at = replace(at, unique_tokens=unique)
    return replace(last.predictor, draws=None, run=at)


def _unless_too_few(advice: Advice, plan: Plan) -> Advice:
    """Keep what there is where the law has more coefficients than runs."""
    return replace(advice, change=False, too_few=True) if plan.deciding.too_few else advice


def _answer(
    kind: str,
    predictor: Predictor | None,
    fit: ScaleFit,
    shares: Floats,
    drawn: Floats | None,
    feasible: Feasible,
    plan: Plan,
    advice: Advice,
    budget: float | None = None,
) -> FoundMixture:
    average = shares if drawn is None else drawn.mean(0)
    recommended = step(advice.step_size if advice.change else 0.0, average, advice.start, feasible)
    recommended = _held(recommended, predictor or fit.predictor, feasible, plan.question)
    objective, bounds, gains = None, None, ()
    if predictor is not None:
        objective = float(predictor.predict(shares[None])[0])
        values = predictor.predict_drawn(shares[None])
        bounds = None if values is None else _around(objective, interval(values))
        gains = tuple(
            gain_over(predictor, shares, name, other, advice.optimism)
            for name, other in _allowed_others(plan.others, advice, feasible).items()
        )
    own = _own_gain(predictor or fit.predictor, recommended, advice)
    shown = drawn
    if drawn is not None and kind == "measured" and fit.shown is not None:
        shown = fit.shown
    return FoundMixture(
        kind=kind,
        budget=float(fit.scale if budget is None else budget),
        shares=shares,
        interval=None if shown is None else _around(shares, interval(shown)),
        average=average,
        recommended=recommended,
        advice=advice,
        recommended_gain=own,
        objective=objective,
        objective_interval=bounds,
        predicted_by=None if predictor is None else predictor.name,
        gains=gains,
        binding=name_binding(feasible, shares, fit.law.no_response(), fit.law.too_noisy()),
        parameters=fit.run.parameters,
    )


def _with_tokens_saved(answer: FoundMixture, path: OptimumPath, plan: Plan) -> FoundMixture:
    """Say in tokens what the recommended mixture gains, where the law that decided can."""
    advice, available = answer.advice, plan.question.available
    if not advice.change or path.predictor is None or advice.decided_at != answer.budget:
        return answer
    run = planned_run(plan.runs, answer.budget, available, answer.parameters)
    predictor = replace(path.predictor, run=run)
    return replace(
        answer, saved=tokens_saved(predictor, answer.recommended, answer.recommended_gain)
    )


def _own_gain(predictor: Predictor, recommended: Floats, advice: Advice) -> GainOver:
    """What the recommended mixture saves against the one in use."""
    if advice.change:
        part = advice.step_size * advice.optimism
        return gain_over(predictor, recommended, CURRENT, advice.start, part)
    bounds = None if advice.interval is None else np.zeros(2)
    return GainOver(over=CURRENT, shares=advice.start, gain=0.0, interval=bounds)


def _allowed_others(
    others: Mapping[str, Floats], advice: Advice, feasible: Feasible
) -> dict[str, Floats]:
    """Mixtures that gains are over: what is allowed, or the allowed one nearest to it."""
    kept = {CURRENT if advice.start_allowed else NEAREST: advice.start}
    moved = {n: scale_into_bounds(other, feasible) for n, other in others.items() if n != CURRENT}
    return kept | moved


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
