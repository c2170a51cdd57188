"""Laws compared by runs that they have not seen."""

from __future__ import annotations

import numpy as np

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import LawScore
from mixscale.fit.arrays import Bools, Floats
from mixscale.fit.inputs.objective import Target
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.laws import LAWS, law_named
from mixscale.fit.laws.base import Law
from mixscale.fit.laws.shared.smooth import SmoothLaw
from mixscale.fit.uncertainty.noise import Noise

MOST_FOLDS = 48
"""Up to this many mixtures each is left out alone; more are left out in this many groups."""
_TREES_FROM = 96
"""Runs from which the slow, data-hungry `regmix` is compared too."""


def choose_law(runs: Runs, target: Target, noise: Noise) -> tuple[str, tuple[LawScore, ...]]:
    """Compare every law that suits the runs; return the best one's name with all scores.

    The best has the least mean of its two errors: on left-out mixtures, and at the largest scale
    when fitted to the smaller ones, where there are any.

    Raises:
        UserError: No law can be fitted.
    """
    scores = [_score(name, runs, target, noise) for name in LAWS]
    fitted = sorted((s for s in scores if s.held_out is not None), key=_rank)
    if not fitted:
        notes = "; ".join(f"{score.law}: {score.note}" for score in scores)
        raise UserError(f"law auto: no law can be fitted to these runs ({notes})")
    rest = [score for score in scores if score.held_out is None]
    return fitted[0].law, (*fitted, *rest)


def held_out_objective(law: Law, runs: Runs, target: Target, noise: Noise) -> Floats:
    """(runs,) objective of each run predicted by a fit without its mixture.

    Base runs are never left out: laws that need them could not be fitted. Theirs are nan.

    Raises:
        UserError: The law cannot be fitted without some mixture.
    """
    predicted = np.full(len(runs), np.nan)
    for part in _parts(law, runs):
        predicted[part] = _held_out_part(law, runs.where(part), target, noise)
    return predicted


def held_out_losses(law: Law, runs: Runs, target: Target, noise: Noise) -> Floats:
    """(runs, validation) losses of each run predicted by a fit without its mixture."""
    predicted = np.full(runs.losses.shape, np.nan)
    for part in _parts(law, runs):
        here = runs.where(part)
        rows = np.arange(len(runs))[part]
        for fold, fitted in _fold_fits(law, here, target, noise):
            predicted[rows[fold]] = fitted.losses(here.tokens[fold])
    return predicted


def _rank(score: LawScore) -> float:
    assert score.held_out is not None
    return score.held_out + (score.held_out if score.next_scale is None else score.next_scale)


def _score(name: str, runs: Runs, target: Target, noise: Noise) -> LawScore:
    if name == "regmix" and len(runs) < _TREES_FROM:
        note = f"needs {_TREES_FROM} runs to be compared"
        return LawScore(law=name, held_out=None, next_scale=None, note=note)
    try:
        law = law_named(name)
        predicted = held_out_objective(law, runs, target, noise)
        further = _next_scale(law, runs, target, noise)
    except UserError as error:
        return LawScore(law=name, held_out=None, next_scale=None, note=str(error))
    missed = np.abs(predicted - target.value(runs.losses))
    if np.isnan(missed).all():
        return LawScore(law=name, held_out=None, next_scale=None, note="nothing to leave out")
    return LawScore(law=name, held_out=float(np.nanmean(missed)), next_scale=further)


def _parts(law: Law, runs: Runs) -> list[Bools]:
    """Masks of the runs that one fit takes."""
    if law.spans_scales:
        return [np.ones(len(runs), dtype=bool)]
    return [runs.scale == scale for scale in runs.scales]


def _held_out_part(law: Law, runs: Runs, target: Target, noise: Noise) -> Floats:
    predicted = np.full(len(runs), np.nan)
    for fold, fitted in _fold_fits(law, runs, target, noise):
        predicted[fold] = fitted.objective(runs.tokens[fold])
    return predicted


def _fold_fits(law: Law, runs: Runs, target: Target, noise: Noise):
    """Yield each fold's mask with the law fitted to the other runs."""
    folds = _folds(runs)
    noise = noise if law.spans_scales else noise.at(float(runs.scale[0]))
    whole = law.fit(runs, target, noise) if folds else None
    if isinstance(whole, SmoothLaw):
        # All folds at once: a left-out run has weight zero.
        weight = np.stack([~fold for fold in folds]).astype(np.float64)
        losses = np.broadcast_to(runs.losses, (len(folds), *runs.losses.shape))
        thetas = whole.family.fit(runs.tokens, losses, weight)
        for fold, theta in zip(folds, thetas, strict=True):
            yield (
                fold,
                SmoothLaw(
                    domains=runs.domains, target=target, family=whole.family, theta=theta, runs=None
                ),
            )
        return
    for fold in folds:
        yield fold, law.fit(runs.where(~fold), target, noise)


def _folds(runs: Runs) -> list[Bools]:
    """Masks that leave out whole mixtures, base runs excepted."""
    pairs = zip(runs.labels, runs.changed, strict=True)
    labels = list(dict.fromkeys(label for label, changed in pairs if changed != BASE))
    if len(labels) < 3:
        return []
    most = 5 if len(runs) >= _TREES_FROM else MOST_FOLDS
    groups = np.arange(len(labels)) % min(most, len(labels))
    of_label = dict(zip(labels, groups.tolist(), strict=True))
    of_run = np.array([of_label.get(label, -1) for label in runs.labels])
    return [of_run == group for group in range(int(groups.max()) + 1)]


def _next_scale(law: Law, runs: Runs, target: Target, noise: Noise) -> float | None:
    """Error at the largest scale of what the smaller ones teach; see `LawScore.next_scale`."""
    scales = runs.scales
    if len(scales) < 2:
        return None
    largest = runs.at(float(scales[-1]))
    measured = target.value(largest.losses)
    if law.spans_scales:
        fitted = law.fit(runs.where(runs.scale < scales[-1]), target, noise)
        predicted = fitted.objective(largest.tokens)
    else:
        before = float(scales[-2])
        fitted = law.fit(runs.at(before), target, noise.at(before))
        predicted = fitted.objective(largest.tokens * before / scales[-1])
    missed = (predicted - predicted.mean()) - (measured - measured.mean())
    return float(np.abs(missed).mean())
