"""Whether to leave the mixture in use, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.uncertainty.gain import GainOver, Predictor, gain_over, optimism

_SECOND_OPINION = 0.5
"""Fraction of the least likely gain that a second law has to predict."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Whether to leave the current mixture, and how far."""

    change: bool
    step_size: float
    """How far to go from the current mixture towards the mean of the redrawn optima, 0 to 1."""
    gain: float
    """Predicted gain of that mixture over the current one, less its share of the optimism."""
    interval: Floats | None
    """(2,) of the gain; None when the noise is unknown."""
    no_response: bool
    """No domain's tokens measurably change the objective, so that no mixture is better."""
    second: GainOver | None
    """The same gain as a second law predicts it, fitted to the same runs."""
    second_law: str | None
    """Its name."""
    optimism: float
    """What the choice by noisy runs adds to the optimum's predicted gain."""


def advise(
    predictor: Predictor,
    optimum: Floats,
    drawn_optima: Floats | None,
    current: Floats,
    feasible: Feasible,
    second: Predictor | None = None,
) -> Advice:
    """Weigh the gain that the runs promise against the noise that it was chosen by.

    With S the predicted gain that the runs' signal alone would give and N the optimism, the
    optimum's predicted gain is (S + N) / 2 where the objective is quadratic around it, and a step
    of S / (S + N) of the way gains most. So the step is `1 - N / (2 gain)`, not below 0: James and
    Stein's rule with the objective's own curvature as its measure. The step goes towards the mean
    of the redrawn optima, which loses less than the optimum where the curvature is uncertain.

    The advice is to change if the gain of that step, less its part of the optimism, is above zero
    in 95 % of the redrawn experiments. Where no domain answers, or a second law predicts for that
    step less than half of the least gain that the interval allows, it is to keep: draws know the
    noise, not that the law is wrong.

    Args:
        predictor: The law at the largest measured scale.
        optimum: (domains,) its best shares.
        drawn_optima: (draws, domains) those of redrawn experiments; None when nothing tells the
            noise.
        current: (domains,) the mixture in use, allowed or not.
        feasible: The allowed mixtures there.
        second: Another law, fitted to the same runs.
    """
    current = scale_into_bounds(current, feasible)
    plain = gain_over(predictor, optimum, "current", current)
    no_response = len(predictor.law.no_response()) == len(current)
    if drawn_optima is None:
        step_size = float(plain.gain > 0 and not no_response)
        other = _second(second, optimum, current)
        return Advice(
            change=step_size > 0 and _supports(other, 0.0),
            step_size=step_size,
            gain=plain.gain,
            interval=None,
            no_response=no_response,
            second=other,
            second_law=second and second.name,
            optimism=0.0,
        )
    chosen_by_noise = optimism(predictor, drawn_optima, current)
    promising = plain.gain > 0 and not no_response
    step_size = float(np.clip(1 - chosen_by_noise / (2 * plain.gain), 0, 1)) if promising else 0.0
    step = current + step_size * (drawn_optima.mean(0) - current)
    gain = gain_over(predictor, step, "current", current, step_size * chosen_by_noise)
    assert gain.interval is not None
    other = _second(second, step, current) if step_size else None
    least = float(gain.interval[0])
    sure = step_size > 0 and gain.gain > 0 and least > 0 and _supports(other, least)
    return Advice(
        change=sure,
        step_size=step_size,
        gain=gain.gain,
        interval=gain.interval,
        no_response=no_response,
        second=other,
        second_law=second and second.name,
        optimism=chosen_by_noise,
    )


def _second(predictor: Predictor | None, shares: Floats, current: Floats) -> GainOver | None:
    return None if predictor is None else gain_over(predictor, shares, "current", current)


def _supports(second: GainOver | None, least: float) -> bool:
    return second is None or second.gain > _SECOND_OPINION * least


def step(step_size: float, average: Floats, current: Floats, feasible: Feasible) -> Floats:
    """(domains,) shares to train on.

    Args:
        step_size: How far to go, from 0 (keep what you have) to 1.
        average: (domains,) mean of the redrawn optima at the budget.
        current: (domains,) the mixture in use.
        feasible: The allowed mixtures at the budget.
    """
    held = scale_into_bounds(current, feasible)
    return (
        held if not step_size else scale_into_bounds(held + step_size * (average - held), feasible)
    )


def average_at(
    budget: float, shares: Floats, budgets: Sequence[float], optima: Floats, averages: Floats
) -> Floats:
    """(domains,) mean of the redrawn optima at a budget between those where it is known.

    What the mean differs by from the optimum is interpolated over the log of the budget, and
    constant beyond.

    Args:
        budget: Tokens.
        shares: (domains,) the optimum at this budget.
        budgets: Where the means are known, increasing.
        optima, averages: (budgets, domains) there.
    """
    logs, shift = np.log(np.asarray(budgets, dtype=np.float64)), averages - optima
    moved = [np.interp(np.log(budget), logs, column) for column in shift.T]
    return np.maximum(shares + np.array(moved), 0.0)
