"""What a result says in words about its own limits."""

from __future__ import annotations

from collections.abc import Sequence

from mixscale.contracts.config import format_tokens
from mixscale.fit.laws.base import Law
from mixscale.fit.scaling.projection import Measured, kept_trend
from mixscale.fit.solution import Answer, Question, ScaleFit
from mixscale.fit.uncertainty.noise import Noise


def silence(fits: Sequence[ScaleFit]) -> list[str]:
    """Name domains that do not answer, or that the noise hides."""
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


def trends(measured: Measured, domains: Sequence[str]) -> list[str]:
    """Say what a projection follows of the measured trend over scales."""
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
            "keeps the mean of the measured shares, each scale counting by its precision. More "
            "seeds, or scales further apart, could show a trend."
        )
    elif kept < 1:
        sentences.append(
            f"A projection follows {kept:.0%} of the measured trend over scales; the rest is "
            "what its noise alone would explain."
        )
    return sentences


def intervals_sentence(fits: Sequence[ScaleFit], law: Law, noise: Noise, question: Question) -> str:
    """Say what the intervals rest on."""
    if not question.draws:
        return ""
    if fits[-1].draws is None and noise.source != "unknown":
        return f"Law {law.name} gives no intervals."
    if law.needs_base:
        return noise.sentence
    return law.intervals


def reach_remarks(
    fits: Sequence[ScaleFit], budgets: Sequence[int], spans_scales: bool
) -> list[str]:
    """Say how far beyond the measured scales the budgets lie."""
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


def far_remarks(answers: Sequence[Answer], law: Law) -> list[str]:
    """Say what predicts the objective at budgets that were not measured."""
    far = [answer for answer in answers if answer.kind == "projected"]
    if not far or law.spans_scales:
        return []
    if far[0].judge is None:
        return [
            f"Law {law.name} is fitted to each scale, and one scale was measured: there is no "
            "predicted objective at other budgets."
        ]
    sentences = [
        f"Law {law.name} is fitted to each scale: the objective at budgets that were not measured "
        f"is what {far[0].judge}, fitted to the same runs, predicts for the mixture."
    ]
    short = [answer for answer in far if answer.follows < 1]
    if short:
        budgets = ", ".join(f"{format_tokens(a.budget)} ({a.follows:.0%})" for a in short)
        sentences.append(
            f"{far[0].judge} does not bear out the whole projected trend: beyond the part that is "
            f"followed here it predicts a higher objective. Followed: {budgets}."
        )
    return sentences
