"""The decision of a stored fit at a token budget that it has none for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.contracts.experiment import DEFAULT_RISK
from mixscale.contracts.fit_record import Action, FitRecord, Interval, Mixture, Recommendation
from mixscale.fit.arrays import Floats
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.optimize.nearest import scale_into_bounds
from mixscale.fit.recommend import is_allowed, step
from mixscale.fit.uncertainty.gain import Predictor
from mixscale.fit.uncertainty.intervals import NORMAL_90


@dataclass(frozen=True, kw_only=True)
class StoredDecision:
    """What a record says of a budget between or beyond its own."""

    recommended: Floats
    """(domains,)."""
    said: Recommendation
    gain: float | None
    """Of the recommended mixture, predicted at `said.decided_at`."""
    interval: Interval | None


def decide(
    record: FitRecord,
    token_budget: int,
    average: Floats,
    feasible: Feasible,
    predictor: Predictor | None,
) -> StoredDecision:
    """Decide as the nearest decision of the record does, unless the law there speaks against it.

    A record holds no redrawn experiments, so how far to go, what the choice by noisy runs adds and
    how wide the gain's interval is are taken from the decisions on both sides of the budget, in
    proportion to its log; beyond all, from the nearest. A change stays one only if the law that
    reaches the budget predicts a gain there, and its interval a chance of a loss below the risk.

    Args:
        record: The fit.
        token_budget: Tokens.
        average: (domains,) mean of the redrawn optima at this budget.
        feasible: The allowed mixtures there.
        predictor: What predicts the objective there; None where nothing does.
    """
    sides, part = _sides(record, token_budget)
    current = current_of(record)
    start = scale_into_bounds(current, feasible)
    allowed = is_allowed(current, feasible)
    nearest = sides[0] if part <= 0.5 else sides[-1]
    agreed = nearest.action == "change"
    # A decision to keep has no step of its own.
    steps = [said.step_size or nearest.step_size for said in sides]
    step_size = _between(steps, part) if agreed else 0.0
    shares = step(step_size, average, start, feasible)
    gain, interval = nearest.gain, nearest.interval
    if predictor is not None:
        gain, interval = _gain(predictor, shares, start, step_size, sides, part)
    risk = DEFAULT_RISK if nearest.risk is None else nearest.risk
    harm = _chance_of_loss(gain, interval)
    sure = agreed and (gain is None or gain > 0) and (harm is None or harm < risk)
    if not sure:
        shares = start
    said = Recommendation(
        action=_action(sure, allowed),
        reason=_reason(nearest, agreed, sure, gain, interval),
        token_budget=token_budget,
        decided_at=token_budget if predictor is not None else nearest.decided_at,
        predicted_by=nearest.predicted_by if predictor is None else predictor.name,
        current=dict(zip(record.domains, current.tolist(), strict=True)),
        over="current" if allowed else "nearest allowed",
        step_size=step_size if sure else 0.0,
        gain=gain,
        interval=interval,
        harm=harm,
        risk=risk,
        optimism=_between([said.optimism or 0.0 for said in sides], part),
    )
    kept = (0.0, None if interval is None else (0.0, 0.0))
    own = (gain, interval) if sure else kept
    return StoredDecision(recommended=shares, said=said, gain=own[0], interval=own[1])


def _sides(record: FitRecord, token_budget: int) -> tuple[list[Recommendation], float]:
    """The decisions next to a budget, and how far it lies from the first to the last, 0 to 1."""
    decided = sorted(
        ((m.token_budget, m.decision) for m in record.mixtures if m.token_budget and m.decision),
        key=lambda pair: pair[0],
    )
    if not decided:
        return [record.recommended], 0.0
    budgets = [budget for budget, _ in decided]
    above = int(np.searchsorted(budgets, token_budget))
    if above == 0:
        return [decided[0][1]], 0.0
    if above == len(budgets):
        return [decided[-1][1]], 0.0
    low, high = budgets[above - 1], budgets[above]
    part = float(np.log(token_budget / low) / np.log(high / low))
    return [decided[above - 1][1], decided[above][1]], part


def _between(values: list[float], part: float) -> float:
    return values[0] + part * (values[-1] - values[0])


def _gain(
    predictor: Predictor,
    shares: Floats,
    start: Floats,
    step_size: float,
    sides: list[Recommendation],
    part: float,
) -> tuple[float, Interval | None]:
    before, after = predictor.predict(np.stack([start, shares])).tolist()
    optimism = step_size * _between([said.optimism or 0.0 for said in sides], part)
    gain = before - after - optimism
    if any(said.interval is None or said.gain is None for said in sides):
        return gain, None
    spans = [
        (said.interval[0] - said.gain, said.interval[1] - said.gain)
        for said in sides
        if said.interval is not None and said.gain is not None
    ]
    low, high = (_between([span[end] for span in spans], part) for end in (0, 1))
    return gain, (gain + min(low, 0.0), gain + max(high, 0.0))


def _chance_of_loss(gain: float | None, interval: Interval | None) -> float | None:
    """That of a normal distribution whose 5 % quantile the interval gives."""
    from scipy.special import ndtr

    if gain is None or interval is None:
        return None
    deviation = (gain - interval[0]) / NORMAL_90
    return float(ndtr(-gain / deviation)) if deviation > 0 else float(gain <= 0)


def _action(sure: bool, allowed: bool) -> Action:
    if sure:
        return "change"
    return "keep what you have" if allowed else "take the nearest allowed mixture"


def _reason(
    nearest: Recommendation,
    agreed: bool,
    sure: bool,
    gain: float | None,
    interval: Interval | None,
) -> str:
    at = ""
    if nearest.token_budget is not None:
        at = f" for {format_tokens(nearest.token_budget)} tokens"
    if sure == agreed:
        return f"{nearest.reason} That is the nearest decision of the fit{at}."
    span = "" if interval is None else f" (90 % about {interval[0]:.4g} to {interval[1]:.4g})"
    return (
        f"The nearest decision of the fit{at} is to change, but here the step is predicted to gain "
        f"{gain or 0.0:.4g}{span}, which is not surely a gain."
    )


def current_of(record: FitRecord) -> Floats:
    """(domains,) the mixture in use."""
    current = record.recommended.current
    if current is None:
        return np.full(len(record.domains), 1 / len(record.domains))
    return np.array([current[name] for name in record.domains])


def decision_of(record: FitRecord, mixture: Mixture) -> Recommendation:
    """The decision behind a mixture's `recommended`; records of earlier versions have one only."""
    return mixture.decision or record.recommended
