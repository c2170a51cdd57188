"""What a fit found, written as a fit record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import (
    Caution,
    Cost,
    FitRecord,
    Gain,
    LargestScale,
    LawScore,
    Mixture,
    Movement,
    Reach,
    Recommendation,
    Scale,
    TableReading,
)
from mixscale.fit.apply.exact_decimals import exact_shares
from mixscale.fit.arrays import Floats
from mixscale.fit.found_mixtures import FoundMixture, FoundMixtures, Question, ScaleFit
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.laws.registry import law_named
from mixscale.fit.output import signal_wording, wording
from mixscale.fit.output.cautions import cautions, signal_cautions, worst_first
from mixscale.fit.output.moves import MOVED_SHARE, in_own_units, moves
from mixscale.fit.output.responses import responses
from mixscale.fit.output.versions import versions
from mixscale.fit.scaling.largest_scale import MovedLaw
from mixscale.fit.scaling.optimum_path import Moved
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE, Noise
from mixscale.fit.uncertainty.signal import signal


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a fit comes from."""

    fit_id: str
    experiment: str | None = None
    warnings: tuple[str, ...] = ()
    """About the runs, from those who read them."""
    cautions: tuple[Caution, ...] = ()
    """Likewise."""
    cost: Cost
    run_ids: tuple[str, ...] = ()
    reading: TableReading | None = None
    """How tables were understood."""


def fit_record(
    solution: FoundMixtures,
    *,
    law: Law,
    objective: Objective,
    question: Question,
    noise: Noise,
    scores: Sequence[LawScore],
    provenance: Provenance,
    fitted_to: Runs,
) -> FitRecord:
    """Gather everything that `fit.json` holds; `fitted_to` are the runs that the law sees."""
    runs = solution.scales[0].runs
    of_seeds = noise if law.needs_base else UNKNOWN_NOISE
    drawn = solution.scales[-1].draw_shares
    *smaller, largest = (_scale(fit, noise.at(fit.scale)) for fit in solution.scales)
    moved = moves(solution.scales[-1], solution.current, question.held)
    largest = largest.model_copy(update={"moves": moved, "moved_share": MOVED_SHARE})
    scales = (*smaller, largest)
    recommendation = recommend(solution, of_seeds)
    mixtures = tuple(
        mixture_record(answer, runs.domains, question.objective).model_copy(
            update={"decision": recommend(solution, of_seeds, answer)}
        )
        for answer in solution.answers
    )
    return FitRecord(
        fit_id=provenance.fit_id,
        experiment=provenance.experiment,
        law=law.name,
        objective=objective,
        domains=runs.domains,
        validation=runs.validation,
        constraints=question.constraints,
        available_tokens=dict(question.available),
        not_varied=dict(question.held),
        covered=dict(question.covered),
        model_sizes=tuple(round(size) for size in fitted_to.sizes.tolist()),
        parameters_are=_parameters_are(fitted_to),
        scales=scales,
        mixtures=mixtures,
        reach=_reach(solution, question.objective),
        gains=_gains(solution.measured, runs.domains),
        unanswered=dict(solution.unanswered),
        recommended=recommendation,
        laws=tuple(scores),
        warnings=(
            *provenance.warnings,
            *wording.warnings(solution, law, noise, question),
            *signal_wording.warnings(scales, recommend(solution, of_seeds, solution.measured)),
        ),
        cautions=worst_first(
            [
                *provenance.cautions,
                *cautions(solution, law, noise, question),
                *signal_cautions(scales, recommend(solution, of_seeds, solution.measured)),
            ]
        ),
        noise=noise.source,
        noise_objective=noise.objective,
        bootstrap=0 if drawn is None else min(question.draws, len(drawn)),
        cost=provenance.cost,
        run_ids=provenance.run_ids,
        results=dict(zip(runs.validation, runs.results, strict=True)) if runs.results else {},
        aim=question.objective.aim,
        held_back_by=solution.scales[-1].held_back_by,
        reading=provenance.reading,
        versions=versions(),
    )


def recommend(
    solution: FoundMixtures, noise: Noise = UNKNOWN_NOISE, answer: FoundMixture | None = None
) -> Recommendation:
    """Say whether the predicted gain is worth acting on, and how far to go.

    Args:
        solution: What the fit found.
        noise: What the intervals rest on, where that may leave something out.
        answer: The mixture that is advised on; that of the largest token budget when absent.
    """
    answer = answer or solution.advised
    advice, largest = answer.advice, solution.scales[-1]
    return Recommendation(
        action=wording.action(advice),
        reason=wording.recommendation_reason(answer, largest, noise),
        token_budget=_budget(answer.budget),
        decided_at=_budget(advice.decided_at),
        predicted_by=advice.predicted_by,
        current=_shares(solution.current, largest.runs.domains),
        over="current" if advice.start_allowed else "nearest allowed",
        step_size=advice.step_size if advice.change else 0.0,
        gain=advice.gain,
        interval=_pair(advice.interval),
        harm=advice.harm,
        risk=advice.risk,
        second_law=advice.second_law,
        second_gain=None if advice.second is None else advice.second.gain,
        optimism=advice.optimism,
    )


def _parameters_are(runs: Runs) -> Literal["non-embedding", "total"] | None:
    if runs.parameters is None:
        return None
    return "non-embedding" if runs.parameters_are == "non-embedding" else "total"


def _budget(tokens: float) -> int | None:
    return round(tokens) if tokens > 1 else None


def mixture_record(answer: FoundMixture, domains: Sequence[str], aim: ObjectiveFunction) -> Mixture:
    """One mixture of the result as `fit.json` holds it."""
    budget = round(answer.budget) if answer.budget > 1 else None
    interval = answer.interval
    return Mixture(
        kind="measured" if answer.kind == "measured" else "projected",
        token_budget=budget,
        parameters=None if answer.parameters is None else round(answer.parameters),
        size_given=answer.size_given,
        moved=movement_record(answer.moved),
        proportions=_exact(answer.shares, domains),
        quantities=None if budget is None else _quantities(answer.shares, domains, budget),
        intervals=None
        if interval is None
        else {d: (float(interval[0, i]), float(interval[1, i])) for i, d in enumerate(domains)},
        average=_shares(answer.average, domains),
        recommended=_exact(answer.recommended, domains),
        recommended_gain=answer.recommended_gain.gain,
        recommended_interval=_pair(answer.recommended_gain.interval),
        tokens_saved=None if answer.saved is None else float(answer.saved[0]),
        tokens_saved_interval=_pair(answer.saved[1:])
        if answer.saved is not None and len(answer.saved) > 1
        else None,
        predicted_objective=None
        if answer.objective is None
        else aim.shown_span(answer.objective, answer.objective)[0],
        objective_interval=None
        if answer.objective_interval is None
        else aim.shown_span(*answer.objective_interval.tolist()),
        predicted_by=answer.predicted_by,
        gains=_gains(answer, domains),
        binding=answer.binding,
    )


def movement_record(moved: Moved | None) -> Movement | None:
    """How far an optimum moves, as `fit.json` holds it."""
    if moved is None:
        return None
    return Movement(tokens=moved.by_tokens, repeats=moved.by_repeats, size=moved.by_size)


def _quantities(shares: Floats, domains: Sequence[str], budget: int) -> dict[str, int]:
    """Whole tokens that sum to the budget."""
    edges = np.round(np.cumsum(shares / shares.sum()) * budget).astype(int)
    return dict(zip(domains, np.diff(edges, prepend=0).tolist(), strict=True))


def _scale(fit: ScaleFit, noise: Noise) -> Scale:
    values = fit.objective.value(fit.runs.losses)
    residual = values - fit.law.predict_objective(fit.runs.points)
    base = np.array([name == BASE for name in fit.runs.changed])
    return Scale(
        scale_tokens=round(fit.scale) if fit.scale > 1 else None,
        runs=len(fit.runs),
        base_objective=fit.objective.shown(float(values[base].mean())) if base.any() else None,
        parameters=fit.law.parameters(),
        residual_rms=float(np.sqrt((residual**2).mean())),
        noise_objective=noise.objective,
        signal=signal(fit.runs, fit.objective, noise),
        no_response=fit.law.no_response(),
        too_noisy=fit.law.too_noisy(),
        responses=responses(fit, noise.objective),
        effects=_effects(fit.runs),
    )


def _effects(runs: Runs) -> dict[str, dict[str, dict[str, float]]]:
    """Change of each result, in its own unit, for each changed training domain, against the
    base."""
    base = np.array([name == BASE for name in runs.changed])
    if not base.any():
        return {}
    values = in_own_units(runs.losses, runs.results)
    base_losses, base_tokens = values[base].mean(0), runs.tokens[base].mean(0)
    effects: dict[str, dict[str, dict[str, float]]] = {"increased": {}, "reduced": {}}
    for i, domain in enumerate(runs.domains):
        changed = np.array([name == domain for name in runs.changed])
        more = runs.tokens[:, i] > base_tokens[i]
        for direction, side in (("increased", more), ("reduced", ~more)):
            rows = changed & side
            if rows.any():
                delta = values[rows].mean(0) - base_losses
                effects[direction][domain] = dict(zip(runs.validation, delta.tolist(), strict=True))
    return effects


def _reach(solution: FoundMixtures, objective: ObjectiveFunction) -> Reach:
    path = solution.path
    measured = path.measured
    of_slopes, of_scales = measured.slope_error, measured.scale_error
    several = len(measured.totals) > 1
    law, weighing = path.predictor, None
    if law is None and path.repeats is not None and law_named(path.repeats.name).load is not None:
        weighing = path.repeats
    return Reach(
        how="autoscale" if several else "same shares",
        totals=tuple(measured.totals.tolist()),
        shares=tuple(tuple(row) for row in measured.shares.tolist()),
        free=tuple(tuple(row) for row in measured.interior.tolist()),
        slope_error=None if of_slopes is None else tuple(of_slopes.tolist()),
        scale_error=None if of_scales is None else tuple(of_scales.tolist()),
        unique_tokens=(
            None
            if measured.unique_tokens is None
            else tuple(tuple(row) for row in measured.unique_tokens.tolist())
        ),
        law=None if law is None else law.name,
        parameters=None if law is None else law.law.parameters(),
        largest_scale=None if law is None else _largest_scale(law.law),
        repeats_law=None if weighing is None else weighing.name,
        repeats_parameters=None if weighing is None else weighing.law.parameters(),
        bits_per_nat=(
            tuple(objective.bits_per_nat.tolist()) if objective.needs_bits_per_nat else None
        ),
    )


def _largest_scale(law: FittedLaw) -> LargestScale | None:
    if not isinstance(law, MovedLaw):
        return None
    beside = law.beside
    unique = beside.run.unique_tokens
    return LargestScale(
        parameters=beside.law.parameters(),
        part=beside.part,
        token_budget=beside.run.token_budget,
        unique_tokens=None if unique is None else tuple(unique.tolist()),
        model_parameters=beside.run.parameters,
    )


def _gains(answer: FoundMixture, domains: Sequence[str]) -> tuple[Gain, ...]:
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
