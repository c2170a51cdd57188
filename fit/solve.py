"""A law, its optima and what they rest on, from measured runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from contracts.config import format_tokens
from contracts.errors import UserError
from contracts.experiment import Constraints
from fit.arrays import Bools, Floats
from fit.carry import Measured, carry, carry_draws, kept_trend, slopes
from fit.feasible import Feasible, feasible_set
from fit.interval import interval
from fit.law import Draws, FittedLaw, Law, Optimum
from fit.noise import Noise
from fit.objective import Target
from fit.runs import Runs

SILENT = "no measurable response"
UNCLEAR = "too noisy to tell"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the fit is asked."""

    target: Target
    constraints: Constraints
    budgets: tuple[int, ...]
    """Token budgets to carry the mixture to."""
    available: Mapping[str, int] = field(default_factory=dict)
    current: Floats | None = None
    """(domains,) the mixture in use now."""
    draws: int = 1000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ScaleFit:
    """A fitted law with its optimum at one scale."""

    scale: float
    runs: Runs
    target: Target
    law: FittedLaw
    feasible: Feasible
    optimum: Optimum
    draws: Draws | None
    draw_shares: Floats | None
    """(draws, domains)."""

    @property
    def shares(self) -> Floats:
        """(domains,) optimal shares."""
        return self.optimum.tokens / self.optimum.tokens.sum()

    @property
    def free(self) -> Bools:
        """(domains,) off the bounds and with a measurable response."""
        bound = self.feasible.binding(self.shares)
        still = {*self.law.silent(), *self.law.unclear()}
        return np.array([d not in bound and d not in still for d in self.runs.domains])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One mixture of the result."""

    kind: str
    budget: float
    shares: Floats
    interval: Floats | None
    """(2, domains)."""
    objective: float | None
    binding: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class GainOver:
    """The objective saved at the largest scale against another mixture."""

    over: str
    shares: Floats
    gain: float
    interval: Floats | None
    """(2,)."""
    sure: bool | None
    """Whether 95 % of repeated experiments would gain too; None when the noise is unknown."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Everything that a fit found."""

    scales: tuple[ScaleFit, ...]
    measured: Measured
    spans_scales: bool
    """Whether one law holds at every budget, so that nothing had to be projected."""
    answers: tuple[Answer, ...]
    gains: tuple[GainOver, ...]
    warnings: tuple[str, ...]


def solve(runs: Runs, law: Law, noise: Noise, question: Question) -> Solution:
    """Fit a law, find the best mixture at each scale and carry it to the budgets.

    Raises:
        UserError: The runs do not suit the law, or no mixture is allowed at a measured scale.
    """
    fits = _fit_scales(runs, law, noise, question)
    measured = _measured(fits)
    carried = [] if law.spans_scales else _trends(measured, runs.domains)
    answers = [_measured_answer(fit) for fit in fits]
    warnings = [_intervals_sentence(fits, law, noise, question), *_silence(fits), *carried]
    for budget in question.budgets:
        try:
            answers.append(_projected_answer(fits, measured, budget, question, law.spans_scales))
        except UserError as error:
            warnings.append(f"No mixture for {format_tokens(budget)} tokens: {error}")
    warnings += _reach_warnings(fits, question.budgets, law.spans_scales)
    return Solution(
        scales=fits,
        measured=measured,
        spans_scales=law.spans_scales,
        answers=tuple(answers),
        gains=_gains(fits[-1], question),
        warnings=tuple(sentence for sentence in warnings if sentence),
    )


def _fit_scales(runs: Runs, law: Law, noise: Noise, question: Question) -> tuple[ScaleFit, ...]:
    rng = np.random.default_rng(question.seed)
    if not law.spans_scales:
        parts = [(scale, runs.at(scale)) for scale in runs.scales]
        laws = [(s, part, law.fit(part, question.target, noise)) for s, part in parts]
        draws = [_draws(fitted, rng, question.draws) for _, _, fitted in laws]
    else:
        whole = law.fit(runs, question.target, noise)
        laws = [(scale, runs.at(scale), whole) for scale in runs.scales]
        draws = [_draws(whole, rng, question.draws)] * len(laws)
    return tuple(
        _fit_scale(scale, part, fitted, drawn, question)
        for (scale, part, fitted), drawn in zip(laws, draws, strict=True)
    )


def _draws(law: FittedLaw, rng: np.random.Generator, count: int) -> Draws | None:
    return law.draws(rng, count) if count else None


def _fit_scale(
    scale: float, runs: Runs, law: FittedLaw, draws: Draws | None, question: Question
) -> ScaleFit:
    feasible = feasible_set(
        question.constraints,
        runs.domains,
        token_budget=scale if scale > 1 else None,
        available=question.available,
    )
    return ScaleFit(
        scale=scale,
        runs=runs,
        target=question.target,
        law=law,
        feasible=feasible,
        optimum=law.optimum(feasible, scale),
        draws=draws,
        draw_shares=None if draws is None else draws.optima(feasible, scale) / scale,
    )


def _measured(fits: Sequence[ScaleFit]) -> Measured:
    plain = Measured(
        totals=np.array([fit.scale for fit in fits]),
        shares=np.stack([fit.shares for fit in fits]),
        free=np.stack([fit.free for fit in fits]),
    )
    draws = _draw_shares(fits)
    if draws is None or len(fits) < 2 or not plain.moving.any():
        return plain
    error = np.zeros(plain.shares.shape[1])
    error[plain.moving] = slopes(plain, draws).std(0)
    return Measured(totals=plain.totals, shares=plain.shares, free=plain.free, slope_error=error)


def _draw_shares(fits: Sequence[ScaleFit]) -> Floats | None:
    """(draws, scales, domains), or None when a scale has no draws."""
    parts = [fit.draw_shares for fit in fits]
    if any(part is None for part in parts):
        return None
    return np.stack([part for part in parts if part is not None], 1)


def _measured_answer(fit: ScaleFit) -> Answer:
    return Answer(
        kind="measured",
        budget=fit.scale,
        shares=fit.shares,
        interval=_interval(fit.draw_shares),
        objective=fit.optimum.objective,
        binding=name_binding(fit.feasible, fit.shares, fit.law.silent(), fit.law.unclear()),
    )


def _projected_answer(
    fits: Sequence[ScaleFit],
    measured: Measured,
    budget: int,
    question: Question,
    spans_scales: bool,
) -> Answer:
    last = fits[-1]
    feasible = feasible_set(
        question.constraints, last.runs.domains, token_budget=budget, available=question.available
    )
    objective = None
    if spans_scales:
        optimum = last.law.optimum(feasible, budget)
        shares, objective = optimum.tokens / budget, optimum.objective
        drawn = None if last.draws is None else last.draws.optima(feasible, budget) / budget
    else:
        shares, draws = carry(measured, budget, feasible), _draw_shares(fits)
        drawn = None if draws is None else carry_draws(measured, draws, budget, feasible)
    return Answer(
        kind="projected",
        budget=budget,
        shares=shares,
        interval=_interval(drawn),
        objective=objective,
        binding=name_binding(feasible, shares, last.law.silent(), last.law.unclear()),
    )


def name_binding(
    feasible: Feasible, shares: Floats, silent: Sequence[str], unclear: Sequence[str]
) -> dict[str, str]:
    """Name what holds each domain that is held, silence before the floor."""
    bound = {
        domain: SILENT if reason == "floor" and domain in silent else reason
        for domain, reason in feasible.binding(shares).items()
    }
    return dict.fromkeys(unclear, UNCLEAR) | bound


def _interval(draws: Floats | None) -> Floats | None:
    return None if draws is None else interval(draws)


def _gains(fit: ScaleFit, question: Question) -> tuple[GainOver, ...]:
    domains = fit.runs.domains
    others = {"current": question.current, "uniform": np.full(len(domains), 1 / len(domains))}
    if question.available and all(domain in question.available for domain in domains):
        sizes = np.array([question.available[domain] for domain in domains], dtype=np.float64)
        others["natural"] = sizes / sizes.sum()
    return tuple(_gain(fit, name, shares) for name, shares in others.items() if shares is not None)


def _gain(fit: ScaleFit, name: str, shares: Floats) -> GainOver:
    other, best = shares * fit.scale, fit.optimum.tokens
    gain = float(fit.law.objective(other[None])[0] - fit.law.objective(best[None])[0])
    if fit.draws is None or fit.draw_shares is None:
        return GainOver(over=name, shares=shares, gain=gain, interval=None, sure=None)
    before = fit.draws.objective(other[None])
    spread = before - fit.draws.objective(best[None])
    # The optimum of one draw judged by another: choosing on noise is then not rewarded.
    crossed = before - fit.draws.objective(np.roll(fit.draw_shares, 1, axis=0) * fit.scale)
    return GainOver(
        over=name,
        shares=shares,
        gain=gain,
        interval=interval(spread),
        sure=bool(interval(crossed)[0] > 0),
    )


def _silence(fits: Sequence[ScaleFit]) -> list[str]:
    sentences = []
    for fit in fits:
        names = fit.law.silent()
        at = f" at {format_tokens(fit.scale)} tokens" if fit.scale > 1 else ""
        if names:
            sentences.append(
                f"No measurable response{at} to {', '.join(names)}: more of it did not lower the "
                "objective by more than the noise, so it stays at its smallest allowed share."
            )
        if fit.law.unclear():
            sentences.append(
                f"Too noisy to tell{at} for {', '.join(fit.law.unclear())}: the response may be as "
                "large as that of other domains or nothing, so the share of the base run is kept. "
                "More seeds, or more tokens a run, would tell."
            )
    return sentences


def _trends(measured: Measured, domains: Sequence[str]) -> list[str]:
    if len(measured.totals) < 2:
        return []
    sentences = []
    still = [d for d, moves in zip(domains, measured.moving, strict=True) if not moves]
    if still:
        sentences.append(
            f"No trend over scales for {', '.join(still)}: off its bounds at fewer than two "
            "scales, or at a bound at the largest one. A projection keeps the share of the largest "
            "scale."
        )
    kept = kept_trend(measured)
    if kept == 0:
        sentences.append(
            "From scale to scale the optimum moves by no more than its noise, so a projection "
            "keeps the mean of the measured shares. More seeds, or scales further apart, could "
            "show a trend."
        )
    elif kept < 1:
        sentences.append(
            f"A projection follows {kept:.0%} of the measured trend over scales; the rest is "
            "what its noise alone would explain."
        )
    return sentences


def _intervals_sentence(
    fits: Sequence[ScaleFit], law: Law, noise: Noise, question: Question
) -> str:
    if not question.draws:
        return ""
    if fits[-1].draws is None and noise.source != "unknown":
        return f"Law {law.name} gives no intervals."
    if law.needs_base:
        return noise.sentence
    return "Intervals come from refitting the law with noise as large as its residuals added."


def _reach_warnings(
    fits: Sequence[ScaleFit], budgets: Sequence[int], spans_scales: bool
) -> list[str]:
    if not budgets:
        return []
    sentences = []
    if len(fits) == 1 and spans_scales:
        sentences.append(
            "One scale was measured: the law's exponents, and with them how the shares move with "
            "the budget, rest on the mixtures alone."
        )
    elif len(fits) == 1:
        sentences.append(
            "One scale was measured: larger budgets get the same shares. A second scale would show "
            "how they move."
        )
    largest = fits[-1].scale
    if max(budgets) > 100 * largest > 100:
        sentences.append(
            f"{format_tokens(max(budgets))} tokens are {max(budgets) / largest:.0f} times the "
            f"largest measured scale ({format_tokens(largest)}): read that projection as a "
            "direction."
        )
    return sentences
