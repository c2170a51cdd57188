"""Whether to leave the mixture in use, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixscale.contracts.experiment import DEFAULT_RISK
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.constraints.near_runs import NearRuns
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.uncertainty.gain import GainOver, Predictor, gain_over, optimism

_SECOND_OPINION = 0.5
"""Fraction of the least likely gain that a second law has to predict."""
_BORDER = 2.0
"""Standard errors of the chance of a loss within which it is not told from the risk."""
_SAME_SHARE = 1e-6
"""Shares that differ by less are the same but for rounding."""
_SAME_TO_SOLVER = 1e-4


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """A step that ends before it leaves the runs behind."""

    wanted: float
    """The whole step, as `Advice.step_size`."""
    distance: float
    """How far from the runs it would lead, by their usual distance from each other."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Whether to leave the current mixture, and how far."""

    change: bool
    step_size: float
    """How far to go from the current mixture towards the mean of the redrawn optima, 0 to 1."""
    gain: float
    """Predicted gain of that mixture over `start`, less its share of the optimism."""
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
    start: Floats
    """(domains,) the mixture in use, or the allowed one nearest to it."""
    start_allowed: bool
    """Whether the mixture in use is allowed."""
    decided_at: float
    """Token budget that the gain is predicted at."""
    predicted_by: str
    """The law that predicts it."""
    risk: float = DEFAULT_RISK
    """Largest chance of a loss that is taken."""
    harm: float | None = None
    """Chance that the step is a loss; None when the noise is unknown."""
    border: bool = False
    """Whether the chance of a loss is told from the risk only by the resamples' own chance."""
    only_one: bool = False
    """Whether the constraints allow a single mixture."""
    too_few: bool = False
    """The law has more coefficients than there are runs, so that nothing is decided."""
    shortened: Shortened | None = None
    """What the gain alone asks for, where that would lead too far from the runs."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the measured scale that decides says of a step, for budgets beyond it."""

    step_size: float
    optimism: float
    no_response: bool


def advise(
    predictor: Predictor,
    optimum: Floats,
    drawn_optima: Floats | None,
    current: Floats,
    feasible: Feasible,
    second: Predictor | None = None,
    measured: Evidence | None = None,
    risk: float = DEFAULT_RISK,
    near: NearRuns | None = None,
) -> Advice:
    """Weigh the gain that the runs promise against the noise that it was chosen by.

    With S the predicted gain that the runs' signal alone would give and N the optimism, the
    optimum's predicted gain is (S + N) / 2 where the objective is quadratic around it, and a step
    of S / (S + N) of the way gains most. So the step is `1 - N / (2 gain)`, not below 0: James and
    Stein's rule with the objective's own curvature as its measure. The step goes towards the mean
    of the redrawn optima, which loses less than the optimum where the curvature is uncertain. It
    ends where that way leaves the runs behind.

    The advice is to change if that step is expected to gain, less its part of the optimism, and is
    a loss with a chance below `risk`, told from it by more than the chance of the resamples: else
    the same question, redrawn, would get another answer. Where no domain answers, or a second law
    predicts a loss for that step, or less than half of the least gain that the interval allows, it
    is to keep: draws know the noise, not that the law is wrong.

    Args:
        predictor: The law that reaches the run that is advised on.
        optimum: (domains,) the best shares there.
        drawn_optima: (draws, domains) those of redrawn experiments; None when nothing tells the
            noise.
        current: (domains,) the mixture in use, allowed or not.
        feasible: The allowed mixtures there.
        second: Another law, fitted to the same runs.
        measured: How far to go where `predictor` is not the law that chose the mixture: as far as
            that one says.
        risk: Largest chance of a loss that is taken.
        near: What counts as near the runs; None for no such limit.
    """
    start = scale_into_bounds(current, feasible)
    plain = gain_over(predictor, optimum, "current", start)
    unresponsive = len(predictor.law.no_response()) == len(start)
    unresponsive = unresponsive if measured is None else measured.no_response
    chosen_by_noise = 0.0
    if measured is not None:
        step_size, chosen_by_noise = measured.step_size, measured.optimism
    elif plain.gain <= 0 or unresponsive:
        step_size = 0.0
    elif drawn_optima is None:
        step_size = 1.0
    else:
        chosen_by_noise = optimism(predictor, drawn_optima, start)
        step_size = float(np.clip(1 - chosen_by_noise / (2 * plain.gain), 0, 1))
    towards = optimum if drawn_optima is None else drawn_optima.mean(0)
    shortened = None
    if near is not None and step_size:
        step_size, shortened = _near_the_runs(near, start, towards, step_size)
    # Without a step the optimum's gain is what is told.
    part = step_size or float(drawn_optima is None)
    shares = np.maximum(start + part * (towards - start), 0.0)
    gain = gain_over(predictor, shares, "current", start, step_size * chosen_by_noise)
    other = _second(second, shares, start) if step_size or drawn_optima is None else None
    least = 0.0 if gain.interval is None else float(gain.interval[0])
    worth = step_size > 0 and gain.gain > 0 and _supports(other, max(least, 0.0))
    border = gain.harm is not None and abs(gain.harm - risk) < _BORDER * gain.harm_error
    return Advice(
        change=worth and not border and (gain.harm is None or gain.harm < risk),
        step_size=step_size,
        gain=gain.gain,
        interval=gain.interval,
        no_response=unresponsive,
        second=other,
        second_law=second and second.name,
        optimism=chosen_by_noise,
        start=start,
        start_allowed=is_allowed(current, feasible),
        decided_at=predictor.run.token_budget,
        predicted_by=predictor.name,
        only_one=bool(feasible.low.sum() > 1 - _SAME_SHARE),
        risk=risk,
        harm=gain.harm,
        border=worth and border,
        shortened=shortened,
    )


def _near_the_runs(
    near: NearRuns, start: Floats, towards: Floats, step_size: float
) -> tuple[float, Shortened | None]:
    """The step, or what is left of it near the runs."""
    farthest = near.part_of_way(start, towards)
    if farthest >= step_size:
        return step_size, None
    distance = near.distance(start + step_size * (towards - start))
    return farthest, Shortened(wanted=step_size, distance=distance)


def is_allowed(shares: Floats, feasible: Feasible) -> bool:
    """Whether (domains,) shares satisfy the constraints."""
    moved = np.abs(scale_into_bounds(shares, feasible) - shares).max()
    return bool(moved <= (_SAME_SHARE if feasible.plain else _SAME_TO_SOLVER))


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
        held
        if not step_size
        else scale_into_bounds(np.maximum(held + step_size * (average - held), 0.0), feasible)
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
