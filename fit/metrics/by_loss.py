"""Scores predicted by way of the loss of their task, where that misses left-out mixtures by less.

An accuracy is a sigmoid of the loss of the right answers (the two steps of the OLMo ladder, Bhagia
et al., arXiv 2412.04403). Where runs are too small for an accuracy to say much, their loss still
tells mixtures apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import TaskCurve
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.mixture_order import groups_of_mixtures
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.runs import BASE, Runs
from mixscale.fit.laws.registry import reference_law
from mixscale.fit.laws.selection import held_out_losses
from mixscale.fit.metrics.scale import scale_of
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE

_FOLDS = 10
_LEAST_RUNS = 8
"""Twice the curve's parameters."""
_PULL = 0.02
"""How strongly ends of the curve that no run reaches are held: beside residuals of a hundredth that
is little."""


def by_losses(runs: Runs) -> Runs:
    """The same runs with losses in place of the scores that are predicted better by way of them.

    Each score that has a loss of its task in every run is predicted for left-out mixtures in both
    ways, by the reference law: by itself, and as a sigmoid of the loss, fitted without them.
    """
    if runs.behind is None or len(set(runs.mixtures)) < _LEAST_RUNS:
        return runs
    paired = [k for k in range(len(runs.validation)) if np.isfinite(runs.behind[:, k]).all()]
    if not paired:
        return runs
    scores, losses = _columns(runs, paired), _columns(runs, paired)
    losses = replace(losses, losses=runs.behind[:, paired], results=())
    first, second = _held_out(scores), _held_out(losses)
    chosen, results = runs.losses.copy(), list(runs.results)
    for i, k in enumerate(paired):
        scale = scale_of(runs.results[k])
        measured = scale.measured(runs.losses[:, k])
        direct = scale.measured(first[:, i])
        through = _left_out_scores(runs, k, second[:, i])
        known = np.isfinite(direct) & np.isfinite(through)
        if not known.any():
            continue
        error = float(np.abs(through - measured)[known].mean())
        without = float(np.abs(direct - measured)[known].mean())
        if error < without:
            curve = fit_curve(runs.behind[:, k], _good(runs, k), runs.weight)
            results[k] = runs.results[k].model_copy(
                update={
                    "curve": curve.model_copy(
                        update={
                            "loss_column": runs.behind_columns[k],
                            "error": error,
                            "error_without": without,
                        }
                    )
                }
            )
            chosen[:, k] = runs.behind[:, k]
    return replace(runs, losses=chosen, results=tuple(results))


def fit_curve(losses: Floats, good: Floats, weight: Floats) -> TaskCurve:
    """Fit a falling sigmoid of (runs,) losses to (runs,) scores from 0 to 1, 1 the best.

    Ends that the runs do not show stay near the nearest bound.
    """
    from scipy.optimize import least_squares

    order = np.median(losses)
    spread = max(float(losses.std()), 1e-9)
    x = (losses - order) / spread

    def parts(theta: Floats) -> tuple[float, float, float, float]:
        low = 1 / (1 + np.exp(-theta[0]))
        high = low + (1 - low) / (1 + np.exp(-theta[1]))
        return low, high, float(np.exp(theta[2])), theta[3]

    def missed(theta: Floats) -> Floats:
        low, high, slope, middle = parts(theta)
        value = low + (high - low) / (1 + np.exp(np.clip(slope * (x - middle), -500, 500)))
        held = _PULL * np.array([(theta[0] + 3) / 2, (theta[1] - 3) / 2, theta[2], theta[3] / 3])
        return np.concatenate([np.sqrt(weight) * (value - good), held])

    starts = [[low, 2.0, slope, middle] for low in (-3.0, -1.0) for slope in (0.0, 1.0)
              for middle in (-1.0, 1.0)]  # fmt: skip
    fits = [least_squares(missed, start, max_nfev=200) for start in starts]
    low, high, slope, middle = parts(min(fits, key=lambda fit: fit.cost).x)
    return TaskCurve(
        low=low,
        high=high,
        slope=slope / spread,
        middle=float(order + spread * middle),
        loss_column="",
        error=0.0,
        error_without=0.0,
    )


def _columns(runs: Runs, columns: list[int]) -> Runs:
    return replace(
        runs,
        validation=tuple(runs.validation[k] for k in columns),
        losses=runs.losses[:, columns],
        errors=None,
        results=tuple(runs.results[k] for k in columns),
        behind=None,
        behind_columns=(),
    )


def _held_out(runs: Runs) -> Floats:
    """(runs, validation) what the reference law, fitted without each mixture, sees of it."""
    # Nothing but the results' own fits is asked, so the objective may be any.
    plain = objective_function(Objective(), runs.validation)
    return held_out_losses(reference_law(), runs, plain, UNKNOWN_NOISE)


def _left_out_scores(runs: Runs, k: int, predicted: Floats) -> Floats:
    """(runs,) scores by curves without each mixture, of losses predicted without it."""
    assert runs.behind is not None
    others = [changed != BASE for changed in runs.changed]
    group = groups_of_mixtures(runs, others, _FOLDS)
    scores, scale = np.full(len(runs), np.nan), scale_of(runs.results[k])
    for fold in range(int(group.max()) + 1):
        out = group == fold
        curve = fit_curve(runs.behind[~out, k], _good(runs, k)[~out], runs.weight[~out])
        scores[out] = replace(scale, curve=curve).measured(predicted[out])
    return scores


def _good(runs: Runs, k: int) -> Floats:
    """(runs,) scores from 0 to 1, 1 the best."""
    return 1 / (1 + np.exp(np.clip(runs.losses[:, k], -500, 500)))
