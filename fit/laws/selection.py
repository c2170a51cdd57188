"""Laws compared by runs that they have not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import LawScore
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.mixture_order import groups_of_mixtures
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.inputs.sizes import visible_runs
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.laws.registry import REFERENCE, law_named, law_names, reference_law
from mixscale.fit.uncertainty.noise import Noise

MOST_FOLDS = 48
"""Up to this many mixtures each is left out alone; more are left out in this many groups."""
FEWER_FOLDS, _MANY_RUNS = 12, 300
"""Groups at most where rows are many, as checkpoints make them."""
_MANY_MIXTURES = 96
"""Mixtures from which they are left out in five groups."""
_FOLDS_ONE_BY_ONE = 8
"""Groups for a law that is fitted without each one after the other; trees took 42 times 22 fits
for 42 mixtures of 22 losses."""
LEAST_FREEDOM = 3
"""Runs that a law without priors has to leave over beyond its coefficients."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The law that `auto` takes, with what it was compared with."""

    law: str
    scores: tuple[LawScore, ...]
    """The law taken first, then the others that stand, the best first."""


def choose_law(runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Comparison:
    """Compare every law that suits the runs, and take one that reaches other token budgets.

    A law's error is the mean of its errors on left-out mixtures, at the largest scale when fitted
    to the smaller ones, and at the largest model size when fitted to the smaller ones, where there
    are any. Laws within one standard error of the least are not told apart by the runs (the
    one-standard-error rule of Breiman et al., 1984, Hastie et al., 2009, sec. 7.10). Of these a
    law that spans scales is taken, the most exact first, else the one with the fewest
    coefficients. Where models of several sizes were run, a law that does not see sizes is compared
    on those of the largest and taken only where no other stands.

    A law with as many coefficients as there are runs has nothing left to be wrong by, and does not
    stand. Where none stands the reference law is taken, whose priors hold what the runs leave open.

    Raises:
        UserError: No law can be fitted.
    """
    runs = _comparable(runs)
    scores = {name: _score(name, runs, objective, noise) for name in law_names()}
    standing = sorted((s for s in scores.values() if s.held_out is not None), key=_rank)
    able = [s for s in standing if len(runs.sizes) < 2 or law_named(s.law).sees_parameters]
    rest = [score for score in scores.values() if score.held_out is None]
    if not standing:
        notes = "; ".join(f"{score.law}: {score.note}" for score in rest)
        if not any(name == REFERENCE for name in scores):
            raise UserError(f"law auto: no law can be fitted to these runs ({notes})")
        return Comparison(law=REFERENCE, scores=tuple(rest))
    able = able or standing
    limit = _rank(able[0]) + _rank_error(able[0])
    near = [score for score in able if _rank(score) <= limit]
    spanning = [score for score in near if law_named(score.law).spans_scales]
    taken = spanning[0] if spanning else min(near, key=_simplicity)
    others = [score for score in standing if score is not taken]
    return Comparison(law=taken.law, scores=(taken, *others, *rest))


def why_saturated(law: Law, runs: Runs) -> str | None:
    """Why a law has too many coefficients for some runs to be compared by them; None if not.

    Repeats of a mixture tell its noise but not one coefficient more, so there must be as many
    different mixtures as coefficients, and more runs.
    """
    if law.coefficients is None:
        return None
    least = 1 if law.shrunken else LEAST_FREEDOM
    notes = []
    for together in _fitted_together(law, runs):
        few = runs.where(together)
        needed = law.coefficients(few)
        mixtures = len(set(few.mixtures)) + len(few.scales) - 1
        count = len(set(few.independent.tolist()))
        if mixtures >= needed and count >= needed + least:
            return None
        notes.append((mixtures, count, needed))
    mixtures, count, needed = max(notes)
    return (
        f"{needed} coefficients for {count} runs of {mixtures} mixtures"
        if mixtures < count
        else f"{needed} coefficients for {count} runs"
    )


def held_out_objective(
    law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise, most: int = MOST_FOLDS
) -> Floats:
    """(runs,) objective of each run predicted by a fit without its mixture.

    Base runs are never left out: laws that need them could not be fitted. Theirs are nan.

    Args:
        law: What is fitted.
        runs: All runs.
        objective: What is predicted.
        noise: Of the runs.
        most: Groups of mixtures that are left out together, at most.

    Raises:
        UserError: The law cannot be fitted without some mixture.
    """
    predicted = np.full(len(runs), np.nan)
    for fitted_together in _fitted_together(law, runs):
        here = runs.where(fitted_together)
        predicted[fitted_together] = _held_out_together(law, here, objective, noise, most)
    return predicted


def held_out_losses(law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Floats:
    """(runs, validation) losses of each run predicted by a fit without its mixture."""
    predicted = np.full(runs.losses.shape, np.nan)
    for fitted_together in _fitted_together(law, runs):
        here = runs.where(fitted_together)
        rows = np.arange(len(runs))[fitted_together]
        for fold, fitted in _fold_fits(law, here, objective, noise):
            predicted[rows[fold]] = fitted.predict_losses(here.points.where(fold))
    return predicted


def _comparable(runs: Runs) -> Runs:
    """The runs of scales with enough of them to fit the reference law to; all if there is none."""
    needed = reference_law().coefficients
    if needed is None:
        return runs
    enough = [s for s in runs.scales.tolist() if len(runs.at(s)) >= needed(runs.at(s))]
    return runs.where(np.isin(runs.scale, enough)) if enough else runs


def _rank(score: LawScore) -> float:
    assert score.held_out is not None
    further = [error for error in (score.next_scale, score.next_size) if error is not None]
    return float(np.mean([score.held_out, *further]))


def _rank_error(score: LawScore) -> float:
    further = [
        error or 0.0
        for reach, error in (
            (score.next_scale, score.next_scale_error),
            (score.next_size, score.next_size_error),
        )
        if reach is not None
    ]
    return float(np.linalg.norm([score.held_out_error or 0.0, *further])) / (1 + len(further))


def _simplicity(score: LawScore) -> tuple[float, float]:
    count = score.coefficients
    return float("inf") if count is None else float(count), _rank(score)


def _score(name: str, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> LawScore:
    coefficients = None
    try:
        law = law_named(name)
        runs = visible_runs(runs, law)
        # Checkpoints of one run are one run.
        if len(set(runs.independent.tolist())) < law.least_runs:
            raise UserError(f"needs {law.least_runs} runs to be compared")
        if law.coefficients is not None:
            coefficients = max(
                law.coefficients(runs.where(part)) for part in _fitted_together(law, runs)
            )
        saturated = why_saturated(law, runs)
        if saturated is not None:
            raise UserError(saturated)
        predicted = _held_out_at_ends(law, runs, objective, noise)
        further = _next_scale(law, runs, objective, noise)
        larger = _next_size(law, runs, objective, noise)
    except UserError as error:
        return LawScore(
            law=name,
            held_out=None,
            next_scale=None,
            note=str(error).removeprefix(f"law {name}: "),
            coefficients=coefficients,
        )
    missed = np.abs(predicted - objective.value(runs.losses))
    # Laws that see sizes are compared with others by the runs that both are fitted to.
    known = ~np.isnan(missed) & runs.is_largest_size & runs.is_end
    if not known.any():
        return LawScore(
            law=name,
            held_out=None,
            next_scale=None,
            note="nothing to leave out",
            coefficients=coefficients,
        )
    mean, error = _mean_by_mixture(missed[known], np.array(runs.mixtures)[known])
    beyond, above = (None, None), (None, None)
    if further is not None:
        largest = runs.at(float(runs.scales[-1]))
        beyond = _mean_by_mixture(further, np.array(largest.mixtures))
    if larger is not None:
        above = _mean_by_mixture(larger, np.array(_largest_ends(runs).mixtures))
    return LawScore(
        law=name,
        held_out=mean,
        held_out_error=error,
        next_scale=beyond[0],
        next_scale_error=beyond[1],
        next_size=above[0],
        next_size_error=above[1],
        coefficients=coefficients,
    )


def _mean_by_mixture(missed: Floats, mixtures: NDArray[np.str_]) -> tuple[float, float]:
    """Mean of errors, each mixture counting once, with its standard error over the mixtures."""
    each = np.array([missed[mixtures == name].mean() for name in dict.fromkeys(mixtures.tolist())])
    error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else 0.0
    return float(each.mean()), error


def _fitted_together(law: Law, runs: Runs) -> list[Bools]:
    """Masks of the runs that one fit takes."""
    if law.spans_scales:
        return [np.ones(len(runs), dtype=bool)]
    return [runs.scale == scale for scale in runs.scales]


def _held_out_together(
    law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise, most: int
) -> Floats:
    predicted = np.full(len(runs), np.nan)
    for fold, fitted in _fold_fits(law, runs, objective, noise, most):
        predicted[fold] = fitted.predict_objective(runs.points.where(fold))
    return predicted


def _fold_fits(
    law: Law,
    runs: Runs,
    objective: ObjectiveFunction,
    noise: Noise,
    most: int = MOST_FOLDS,
) -> Iterator[tuple[Bools, FittedLaw]]:
    """Yield each fold's mask with the law fitted to the other runs."""
    folds = _folds(runs, law.leave_out is None and not law.needs_base, most)
    if not folds:
        return
    if law.leave_out is not None:
        yield from zip(folds, law.leave_out(runs, objective, folds), strict=True)
        return
    noise = noise if law.spans_scales else noise.at(float(runs.scale[0]))
    for fold in folds:
        yield fold, law.fit(runs.where(~fold), objective, noise)


def _folds(runs: Runs, one_by_one: bool, most: int) -> list[Bools]:
    """Masks that leave out whole mixtures at all scales, base runs excepted.

    Runs of one mixture at several scales, checkpoints of one run among them, would give each
    other's results away.
    """
    others = [changed != BASE for changed in runs.changed]
    count = len(set(np.array(runs.mixtures)[others].tolist()))
    if count < 3:
        return []
    most = min(most, 5) if count >= _MANY_MIXTURES else most
    if len(runs) > _MANY_RUNS:
        most = min(most, FEWER_FOLDS)
    if one_by_one:
        most = min(most, _FOLDS_ONE_BY_ONE)
    of_run = groups_of_mixtures(runs, others, most)
    return [of_run == group for group in range(int(of_run.max()) + 1)]


def _next_scale(law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Floats | None:
    """(runs of the largest scale,) errors of what the smaller scales teach; see `LawScore`."""
    scales = runs.scales
    if len(scales) < 2:
        return None
    largest = runs.at(float(scales[-1]))
    measured = objective.value(largest.losses)
    if law.spans_scales:
        fitted = law.fit(runs.where(runs.scale < scales[-1]), objective, noise)
        predicted = fitted.predict_objective(largest.points)
    else:
        before = float(scales[-2])
        fitted = law.fit(runs.at(before), objective, noise.at(before))
        smaller = replace(largest.points, tokens=largest.tokens * before / scales[-1])
        predicted = fitted.predict_objective(smaller)
    return _missed_apart_from_the_mean(predicted, measured)


def _next_size(law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Floats | None:
    """(ends of runs of the largest models,) errors of what the smaller models teach."""
    if len(runs.sizes) < 2 or not law.sees_parameters:
        return None
    largest = _largest_ends(runs)
    fitted = law.fit(runs.where(~runs.is_largest_size), objective, noise)
    predicted = fitted.predict_objective(largest.points)
    return _missed_apart_from_the_mean(predicted, objective.value(largest.losses))


def _missed_apart_from_the_mean(predicted: Floats, measured: Floats) -> Floats:
    """(runs,) errors of the differences between runs: what all share says nothing of mixtures."""
    return np.abs((predicted - predicted.mean()) - (measured - measured.mean()))


def _largest_ends(runs: Runs) -> Runs:
    """The last checkpoints of the largest models."""
    return runs.where(runs.is_largest_size & runs.is_end)


def _held_out_at_ends(law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Floats:
    """As `held_out_objective`, without the scales at which no run ends: fits that are not asked."""
    asked = np.ones(len(runs), dtype=bool)
    if not law.spans_scales:
        asked = np.isin(runs.scale, runs.scale[runs.is_end])
    predicted = np.full(len(runs), np.nan)
    predicted[asked] = held_out_objective(law, runs.where(asked), objective, noise)
    return predicted
