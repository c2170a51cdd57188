"""What a result says in words about its own limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import TableReading
from mixscale.fit.found_mixtures import FoundMixture, FoundMixtures, Question, ScaleFit
from mixscale.fit.laws.base import Law
from mixscale.fit.recommend import Advice
from mixscale.fit.scaling.projection import MeasuredOptima, trend_kept
from mixscale.fit.uncertainty.gain import GainOver
from mixscale.fit.uncertainty.noise import Noise

_ONE_SEED = " Every run has one seed, so the interval leaves out the difference between seeds."


def warnings(
    solution: FoundMixtures, law: Law, noise: Noise, question: Question
) -> tuple[str, ...]:
    """Everything that limits a result, in whole sentences."""
    fits = solution.scales
    sentences = [intervals_sentence(fits, law, noise, question), *response_remarks(fits)]
    sentences += suspect_remarks(fits)
    if not law.spans_scales:
        sentences += trend_remarks(solution.path.measured, fits[0].runs.domains)
    sentences += [
        f"No mixture for {format_tokens(budget)} tokens: {reason}"
        for budget, reason in solution.unanswered.items()
    ]
    sentences += reach_remarks(fits, question.budgets, law.spans_scales)
    sentences += extrapolation_remarks(solution.answers, law)
    return tuple(sentence for sentence in sentences if sentence)


def reading_remarks(reading: TableReading) -> tuple[str, ...]:
    """Say which rows of tables took no part, and what was joined by nothing but its place."""
    sentences = []
    if reading.key is None:
        sentences.append(
            "No column names the run in both tables, so their rows are joined in the order they "
            "stand in; --key names such a column."
        )
    if reading.unmatched_rows:
        sentences.append(
            f"{reading.unmatched_rows} rows of the tables have no partner and are left out."
        )
    if reading.left_out:
        named = [f"{name} ({reason})" for name, reason in reading.left_out.items()]
        more = f" and {len(named) - 8} more" if len(named) > 8 else ""
        sentences.append(f"{len(named)} runs are left out: {', '.join(named[:8])}{more}.")
    return tuple(sentences)


def reading_lines(reading: TableReading) -> Iterator[str]:
    """Say what each column was taken for."""
    yield f"read as domains, {reading.unit}: {', '.join(reading.domains)}"
    by_metric: dict[str, list[str]] = {}
    for name, result in reading.results.items():
        by_metric.setdefault(result.metric, []).append(name)
    for metric, names in by_metric.items():
        yield f"read as {metric.replace('_', ' ')}, less is better: {_some(names)}"
    if reading.roles:
        roles = [f"{column} ({role})" for role, column in reading.roles.items()]
        yield f"read of the runs: {', '.join(roles)}"
    yield f"joined by {'their order' if reading.key is None else f'column {reading.key!r}'}"
    if reading.ignored:
        ignored = [f"{column or 'unnamed'} ({why})" for column, why in reading.ignored.items()]
        yield f"not used: {_some(ignored)}"


def _some(names: Sequence[str], most: int = 12) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def response_remarks(fits: Sequence[ScaleFit]) -> list[str]:
    """Name domains that do not answer, or that the noise hides."""
    sentences = []
    for fit in fits:
        names = fit.law.no_response()
        at = f" at {format_tokens(fit.scale)} tokens" if fit.scale > 1 else ""
        if names:
            sentences.append(
                f"No measurable response{at} to {', '.join(names)}: more of it did not lower the "
                "objective by more than the noise, so it stays at its smallest allowed share."
            )
        if fit.law.too_noisy():
            sentences.append(
                f"Too noisy to tell{at} for {', '.join(fit.law.too_noisy())}: the response may be "
                "as large as that of other domains or nothing, so the share of the base run is "
                "kept. More seeds, or more tokens a run, would tell."
            )
    return sentences


def suspect_remarks(fits: Sequence[ScaleFit]) -> list[str]:
    """Name runs that a law left out because it cannot have come by them."""
    named: dict[str, None] = {}
    for fit in fits:
        named |= dict.fromkeys(getattr(fit.law, "suspects", ()))
    if not named:
        return []
    runs = "Run " if len(named) == 1 else "Runs "
    verb = "lies" if len(named) == 1 else "lie"
    return [
        f"{runs}{_some(list(named))} {verb} so far from what all other runs say that the fit "
        "leaves it out: see whether it crashed, or was run with other settings or a wrong label."
    ]


def trend_remarks(measured: MeasuredOptima, domains: Sequence[str]) -> list[str]:
    """Say what a projection follows of the measured trend over scales."""
    if len(measured.totals) < 2:
        return []
    sentences = []
    still = [d for d, trending in zip(domains, measured.has_trend, strict=True) if not trending]
    if still:
        sentences.append(
            f"No trend over scales for {', '.join(still)}: off its bounds at fewer than two "
            "scales, or at a bound at the largest one. A projection keeps the share of the largest "
            "scale."
        )
    kept = trend_kept(measured)
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


def extrapolation_remarks(answers: Sequence[FoundMixture], law: Law) -> list[str]:
    """Say what predicts the objective at budgets that were not measured."""
    far = [answer for answer in answers if answer.kind == "projected"]
    if not far or law.spans_scales:
        return []
    if far[0].predicted_by is None:
        return [
            f"Law {law.name} is fitted to each scale, and one scale was measured: there is no "
            "predicted objective at other budgets."
        ]
    sentences = [
        f"Law {law.name} is fitted to each scale: the objective at budgets that were not measured "
        f"is what {far[0].predicted_by}, fitted to the same runs, predicts for the mixture."
    ]
    short = [answer for answer in far if answer.followed < 1]
    if short:
        budgets = ", ".join(f"{format_tokens(a.budget)} ({a.followed:.0%})" for a in short)
        sentences.append(
            f"{far[0].predicted_by} does not support the whole projected trend: beyond what is "
            f"followed here it predicts a higher objective. Followed: {budgets}."
        )
    return sentences


def recommendation_reason(advice: Advice, largest: ScaleFit, noise: Noise) -> str:
    """Say what speaks for the advice, in one sentence or two.

    Args:
        advice: What is recommended.
        largest: The fit of the largest scale.
        noise: What the intervals rest on, where that may leave something out.
    """
    if advice.no_response:
        return "No domain's tokens measurably change the objective at the largest scale."
    return _reason(advice, _at(largest)) + _ONE_SEED * (noise.source == "evaluation")


def _reason(advice: Advice, at: str) -> str:
    doubt = "" if advice.change or advice.second is None else _doubt(advice.second, advice)
    if advice.interval is None:
        sign = "lower" if advice.gain > 0 else "higher"
        amount = f"{abs(advice.gain):.4g} {sign} objective than the current mixture{at}"
        return f"Predicted {amount}{doubt}; the noise is unknown."
    span = f"90 % interval {advice.interval[0]:.4g} to {advice.interval[1]:.4g}"
    amount = f"{advice.gain:.4g} lower objective than the current mixture{at} ({span})"
    if not advice.step_size:
        return f"The best mixture found{at} promises no more than noise alone would promise."
    step = f"A step of {advice.step_size:.0%} from the current mixture towards the best one"
    if advice.change:
        return f"{step} is predicted to give {amount}."
    noisy = ", which is within the noise" if advice.interval[0] <= 0 else ""
    return f"{step} is predicted to give {amount}{noisy}{doubt}."


def _doubt(second: GainOver, advice: Advice) -> str:
    """What the second law says, where that is what speaks against a change."""
    sure = advice.step_size and (advice.interval is None or advice.interval[0] > 0)
    sign = "a gain of only" if second.gain > 0 else "a loss of"
    text = f", but law {advice.second_law}, fitted to the same runs, predicts {sign}"
    return f"{text} {abs(second.gain):.4g}" if sure else ""


def _at(fit: ScaleFit) -> str:
    return f" at {format_tokens(fit.scale)} tokens" if fit.scale > 1 else ""
