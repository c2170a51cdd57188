"""Laws compared by runs that they have not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import LawScore
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.objective import ObjectiveFunction
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.laws.base import FittedLaw, Law
from mixscale.fit.laws.registry import law_named, law_names
from mixscale.fit.uncertainty.noise import Noise

MOST_FOLDS = 48
"""Up to this many mixtures each is left out alone; more are left out in this many groups."""
_MANY_RUNS = 96
"""Runs from which mixtures are left out in five groups."""


def choose_law(
    runs: Runs, objective: ObjectiveFunction, noise: Noise
) -> tuple[str, tuple[LawScore, ...]]:
    """Compare every law that suits the runs; return the best one's name with all scores.

    The best has the least mean of its two errors: on left-out mixtures, and at the largest scale
    when fitted to the smaller ones, where there are any.

    Raises:
        UserError: No law can be fitted.
    """
    scores = [_score(name, runs, objective, noise) for name in law_names()]
    fitted = sorted((s for s in scores if s.held_out is not None), key=_rank)
    if not fitted:
        notes = "; ".join(f"{score.law}: {score.note}" for score in scores)
        raise UserError(f"law auto: no law can be fitted to these runs ({notes})")
    rest = [score for score in scores if score.held_out is None]
    return fitted[0].law, (*fitted, *rest)


def held_out_objective(law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Floats:
    """(runs,) objective of each run predicted by a fit without its mixture.

    Base runs are never left out: laws that need them could not be fitted. Theirs are nan.

    Raises:
        UserError: The law cannot be fitted without some mixture.
    """
    predicted = np.full(len(runs), np.nan)
    for fitted_together in _fitted_together(law, runs):
        here = runs.where(fitted_together)
        predicted[fitted_together] = _held_out_together(law, here, objective, noise)
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


def _rank(score: LawScore) -> float:
    assert score.held_out is not None
    return score.held_out + (score.held_out if score.next_scale is None else score.next_scale)


def _score(name: str, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> LawScore:
    try:
        law = law_named(name)
        if len(runs) < law.least_runs:
            raise UserError(f"needs {law.least_runs} runs to be compared")
        predicted = held_out_objective(law, runs, objective, noise)
        further = _next_scale(law, runs, objective, noise)
    except UserError as error:
        return LawScore(law=name, held_out=None, next_scale=None, note=str(error))
    missed = np.abs(predicted - objective.value(runs.losses))
    if np.isnan(missed).all():
        return LawScore(law=name, held_out=None, next_scale=None, note="nothing to leave out")
    return LawScore(law=name, held_out=float(np.nanmean(missed)), next_scale=further)


def _fitted_together(law: Law, runs: Runs) -> list[Bools]:
    """Masks of the runs that one fit takes."""
    if law.spans_scales:
        return [np.ones(len(runs), dtype=bool)]
    return [runs.scale == scale for scale in runs.scales]


def _held_out_together(law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> Floats:
    predicted = np.full(len(runs), np.nan)
    for fold, fitted in _fold_fits(law, runs, objective, noise):
        predicted[fold] = fitted.predict_objective(runs.points.where(fold))
    return predicted


def _fold_fits(
    law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise
) -> Iterator[tuple[Bools, FittedLaw]]:
    """Yield each fold's mask with the law fitted to the other runs."""
    folds = _folds(runs)
    if not folds:
        return
    if law.leave_out is not None:
        yield from zip(folds, law.leave_out(runs, objective, folds), strict=True)
        return
    noise = noise if law.spans_scales else noise.at(float(runs.scale[0]))
    for fold in folds:
        yield fold, law.fit(runs.where(~fold), objective, noise)


def _folds(runs: Runs) -> list[Bools]:
    """Masks that leave out whole mixtures, base runs excepted."""
    pairs = zip(runs.labels, runs.changed, strict=True)
    labels = list(dict.fromkeys(label for label, changed in pairs if changed != BASE))
    if len(labels) < 3:
        return []
    most = 5 if len(runs) >= _MANY_RUNS else MOST_FOLDS
    groups = np.arange(len(labels)) % min(most, len(labels))
    of_label = dict(zip(labels, groups.tolist(), strict=True))
    of_run = np.array([of_label.get(label, -1) for label in runs.labels])
    return [of_run == group for group in range(int(groups.max()) + 1)]


def _next_scale(law: Law, runs: Runs, objective: ObjectiveFunction, noise: Noise) -> float | None:
    """Error at the largest scale of what the smaller ones teach; see `LawScore.next_scale`."""
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
    missed = (predicted - predicted.mean()) - (measured - measured.mean())
    return float(np.abs(missed).mean())
