"""A solution written as a fit record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import (
    Cost,
    FitRecord,
    Gain,
    LawScore,
    Mixture,
    Reach,
    Recommendation,
    Scale,
)
from mixscale.fit.apply.exact_decimals import exact_shares
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.objective import Target
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.laws import law_named
from mixscale.fit.output import signal_wording as signal_words
from mixscale.fit.output.responses import responses
from mixscale.fit.recommend import Advice
from mixscale.fit.solution import Answer, Question, ScaleFit, Solution
from mixscale.fit.uncertainty.gain import GainOver
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE, Noise
from mixscale.fit.uncertainty.signal import signal

_LUCK = " Every run has one seed, so the interval leaves out the luck of training."


def describe(
    solution: Solution,
    *,
    fit_id: str,
    experiment: str | None,
    law: str,
    objective: Objective,
    question: Question,
    noise: Noise,
    laws: Sequence[LawScore] = (),
    warnings: Sequence[str],
    cost: Cost,
    run_ids: tuple[str, ...],
    versions: dict[str, str],
) -> FitRecord:
    """Gather everything that `fit.json` holds."""
    runs = solution.scales[0].runs
    drawn = solution.scales[-1].draw_shares
    scales = tuple(_scale(fit, noise.at(fit.scale)) for fit in solution.scales)
    recommendation = recommend(solution, noise if law_named(law).needs_base else UNKNOWN_NOISE)
    return FitRecord(
        fit_id=fit_id,
        experiment=experiment,
        law=law,
        objective=objective,
        domains=runs.domains,
        validation=runs.validation,
        constraints=question.constraints,
        available_tokens=dict(question.available),
        scales=scales,
        mixtures=tuple(_mixture(answer, runs.domains) for answer in solution.answers),
        reach=_reach(solution, question.target),
        gains=_gains(solution.answers[len(solution.scales) - 1], runs.domains),
        recommended=recommendation,
        laws=tuple(laws),
        warnings=(
            *warnings,
            *solution.warnings,
            *signal_words.warnings(scales, recommendation),
        ),
        noise=noise.source,
        noise_objective=noise.objective,
        bootstrap=0 if drawn is None else len(drawn),
        cost=cost,
        run_ids=run_ids,
        versions=versions,
    )


def recommend(solution: Solution, noise: Noise = UNKNOWN_NOISE) -> Recommendation:
    """Say whether the measured gain is worth acting on, and how far to go.

    Args:
        solution: What the fit found.
        noise: What the intervals rest on, where that may leave something out.
    """
    largest, advice = solution.scales[-1], solution.advice
    return Recommendation(
        action="change" if advice.change else "keep what you have",
        reason=(
            "No domain's tokens measurably change the objective at the largest scale."
            if advice.silent
            else _reason(advice, _at(largest)) + _LUCK * (noise.source == "evaluation")
        ),
        current=_shares(solution.current, largest.runs.domains),
        part=advice.part if advice.change else 0.0,
        gain=advice.gain,
        interval=_pair(advice.interval),
        second_law=advice.second_law,
        second_gain=None if advice.second is None else advice.second.gain,
        optimism=advice.optimism,
    )


def _reason(advice: Advice, at: str) -> str:
    doubt = "" if advice.change or advice.second is None else _doubt(advice.second, advice)
    if advice.interval is None:
        sign = "lower" if advice.gain > 0 else "higher"
        amount = f"{abs(advice.gain):.4g} {sign} objective than the current mixture{at}"
        return f"Predicted {amount}{doubt}; the noise is unknown."
    span = f"90 % interval {advice.interval[0]:.4g} to {advice.interval[1]:.4g}"
    amount = f"{advice.gain:.4g} lower objective than the current mixture{at} ({span})"
    if not advice.part:
        return f"The best mixture found{at} promises no more than noise alone would promise."
    step = f"A step of {advice.part:.0%} from the current mixture towards the best one"
    if advice.change:
        return f"{step} is predicted to give {amount}."
    noisy = ", which is within the noise" if advice.interval[0] <= 0 else ""
    return f"{step} is predicted to give {amount}{noisy}{doubt}."


def _doubt(second: GainOver, advice: Advice) -> str:
    """What the second law says, where that is what speaks against a change."""
    sure = advice.part and (advice.interval is None or advice.interval[0] > 0)
    sign = "a gain of only" if second.gain > 0 else "a loss of"
    text = f", but law {advice.second_law}, fitted to the same runs, predicts {sign}"
    return f"{text} {abs(second.gain):.4g}" if sure else ""


def _at(fit: ScaleFit) -> str:
    return f" at {format_tokens(fit.scale)} tokens" if fit.scale > 1 else ""


def _mixture(answer: Answer, domains: Sequence[str]) -> Mixture:
    budget = round(answer.budget) if answer.budget > 1 else None
    interval = answer.interval
    return Mixture(
        kind="measured" if answer.kind == "measured" else "projected",
        token_budget=budget,
        proportions=_exact(answer.shares, domains),
        quantities=None if budget is None else _quantities(answer.shares, domains, budget),
        intervals=None
        if interval is None
        else {d: (float(interval[0, i]), float(interval[1, i])) for i, d in enumerate(domains)},
        average=_shares(answer.average, domains),
        recommended=_exact(answer.recommended, domains),
        predicted_objective=answer.objective,
        objective_interval=_pair(answer.objective_interval),
        predicted_by=answer.judge,
        gains=_gains(answer, domains),
        binding=answer.binding,
    )


def _quantities(shares: Floats, domains: Sequence[str], budget: int) -> dict[str, int]:
    """Whole tokens that sum to the budget."""
    edges = np.round(np.cumsum(shares / shares.sum()) * budget).astype(int)
    return dict(zip(domains, np.diff(edges, prepend=0).tolist(), strict=True))


def _scale(fit: ScaleFit, noise: Noise) -> Scale:
    values = fit.target.value(fit.runs.losses)
    residual = values - fit.law.objective(fit.runs.tokens)
    base = np.array([name == BASE for name in fit.runs.changed])
    return Scale(
        scale_tokens=round(fit.scale) if fit.scale > 1 else None,
        runs=len(fit.runs),
        base_objective=float(values[base].mean()) if base.any() else None,
        parameters=fit.law.parameters(),
        residual_rms=float(np.sqrt((residual**2).mean())),
        noise_objective=noise.objective,
        signal=signal(fit.runs, fit.target, noise),
        silent=fit.law.silent(),
        unclear=fit.law.unclear(),
        responses=responses(fit, noise.objective),
        effects=_effects(fit.runs),
    )


def _effects(runs: Runs) -> dict[str, dict[str, dict[str, float]]]:
    """Change of each validation loss for each changed training domain, against the base."""
    base = np.array([name == BASE for name in runs.changed])
    if not base.any():
        return {}
    base_losses, base_tokens = runs.losses[base].mean(0), runs.tokens[base].mean(0)
    effects: dict[str, dict[str, dict[str, float]]] = {"increased": {}, "reduced": {}}
    for i, domain in enumerate(runs.domains):
        changed = np.array([name == domain for name in runs.changed])
        more = runs.tokens[:, i] > base_tokens[i]
        for direction, side in (("increased", more), ("reduced", ~more)):
            rows = changed & side
            if rows.any():
                delta = runs.losses[rows].mean(0) - base_losses
                effects[direction][domain] = dict(zip(runs.validation, delta.tolist(), strict=True))
    return effects


def _reach(solution: Solution, target: Target) -> Reach:
    measured = solution.measured
    of_slopes, of_scales = measured.slope_error, measured.scale_error
    several = len(measured.totals) > 1
    whole, far = solution.spans_scales, solution.far
    return Reach(
        how="law" if whole else "autoscale" if several else "same shares",
        totals=tuple(measured.totals.tolist()),
        shares=tuple(tuple(row) for row in measured.shares.tolist()),
        free=tuple(tuple(row) for row in measured.free.tolist()),
        slope_error=None if of_slopes is None else tuple(of_slopes.tolist()),
        scale_error=None if of_scales is None else tuple(of_scales.tolist()),
        law=None if far is None else far.name,
        parameters=None if far is None else far.law.parameters(),
        bits_per_nat=(
            tuple(target.bits_per_nat.tolist()) if target.metric == "bits_per_byte" else None
        ),
    )


def _gains(answer: Answer, domains: Sequence[str]) -> tuple[Gain, ...]:
    return tuple(
        Gain(
            over=gain.over,
            proportions=_shares(gain.shares, domains),
            gain=gain.gain,
            interval=_pair(gain.interval),
        )
        for gain in answer.gains
    )


def _shares(shares: Floats, domains: Sequence[str]) -> dict[str, float]:
    return dict(zip(domains, shares.tolist(), strict=True))


def _exact(shares: Floats, domains: Sequence[str]) -> dict[str, float]:
    texts = exact_shares(_shares(shares, domains))
    return {name: float(text) for name, text in texts.items()}


def _pair(bounds: Floats | None) -> tuple[float, float] | None:
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))
