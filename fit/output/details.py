"""Everything that a fit tells, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord, Gain, LawScore, Mixture
from mixscale.fit.output.signal_wording import sentence
from mixscale.fit.output.units import name_of
from mixscale.fit.output.wording import reading_lines, result_lines, unit_words
from mixscale.pages.rounding import Interval, number, percent, percent_span, span


def render(record: FitRecord) -> Table:
    """Draw the mixtures: a row for each domain, a column for each token budget."""
    table = Table(title=f"best mixture by token budget, law {record.law}")
    table.add_column("domain")
    for mixture in record.mixtures:
        table.add_column(_heading(mixture), justify="right")
    for domain in record.domains:
        table.add_row(domain, *(_cell(mixture, domain) for mixture in record.mixtures))
    return table


def lines(record: FitRecord) -> Iterator[str]:
    """Say what the table does not: laws, signal and noise, gains, warnings, the recommendation."""
    if record.reading is not None:
        yield from reading_lines(record.reading)
    yield from result_lines(record)
    yield from (_score(score, record) for score in record.laws)
    yield from (text for scale in record.scales if (text := sentence(scale)))
    for gain in record.gains:
        yield _gain(gain, unit_words(record))
    yield from (_far(m, record) for m in record.mixtures if m.kind == "projected" and m.gains)
    yield from (_movement(m) for m in record.mixtures if m.moved is not None)
    yield from (f"warning: {warning}" for warning in record.warnings)
    yield from _decisions(record)


def _movement(mixture: Mixture) -> str:
    """How far the best mixture moves, and what moves it."""
    moved = mixture.moved
    assert moved is not None
    return (
        f"best mixture for {format_tokens(mixture.token_budget or 0)} tokens{_size(mixture)}: "
        f"{moved.tokens:.1%} of the tokens move with the budget, {moved.repeats:.1%} since text "
        f"repeats, {moved.size:.1%} with the model's size"
    )


def _decisions(record: FitRecord) -> Iterator[str]:
    """A decision with its mixture for each budget that was asked for, or else measured."""
    asked = [m for m in record.mixtures if m.kind == "projected"] or record.mixtures[-1:]
    for mixture in asked:
        said = mixture.decision or record.recommended
        budget = mixture.token_budget
        at = f" for {format_tokens(budget)} tokens{_size(mixture)}" if budget else ""
        yield f"recommended{at}: {said.action}. {said.reason}"
        if mixture.recommended:
            yield _recommended(mixture)


def _score(score: LawScore, record: FitRecord) -> str:
    if score.held_out is None:
        return f"law {score.law}: left out, {score.note}"
    mark = " (taken)" if score.law == record.law else ""
    text = f"law {score.law}: error {_with_error(score.held_out, score.held_out_error)}"
    text += " on left-out mixtures"
    further = ""
    if score.next_scale is not None:
        further = f", {_with_error(score.next_scale, score.next_scale_error)} at the next scale"
    if score.next_size is not None:
        further += f", {_with_error(score.next_size, score.next_size_error)} at the next size"
    note = "" if score.note is None else f"; {score.note}"
    return text + further + mark + note


def _with_error(value: float, error: float | None) -> str:
    if error is None:
        return number(value)
    around = (value - error, value + error)
    return f"{number(value, around)} ± {number(error, around)}"


def _gain(gain: Gain, metric: str) -> str:
    by = number(gain.gain, gain.interval, signed=True)
    text = f"gain of the best mixture over the {gain.over} one: {by} {metric}"
    return text + _span(gain.interval, gain.gain)


def _far(mixture: Mixture, record: FitRecord) -> str:
    """Predicted objective and gain at a budget that was not measured."""
    gain, metric = mixture.gains[0], name_of(record)
    value, within = mixture.predicted_objective or 0.0, mixture.objective_interval
    text = (
        f"at {format_tokens(mixture.token_budget or 0)} tokens{_size(mixture)}: {metric} "
        f"{number(value, within)}{_span(within, value)}, gain over the {gain.over} mixture "
        f"{number(gain.gain, gain.interval, signed=True)}{_span(gain.interval, gain.gain)}"
    )
    other = mixture.predicted_by != record.law
    return f"{text}, as {mixture.predicted_by} predicts" if other else text


def _span(interval: Interval | None, value: float) -> str:
    return "" if interval is None else f" (90 %: {span(interval, value=value)})"


def _recommended(mixture: Mixture) -> str:
    recommended = mixture.recommended or {}
    shares = ", ".join(f"{name} {percent(share)}" for name, share in recommended.items())
    budget = ""
    if mixture.token_budget:
        budget = f" for {format_tokens(mixture.token_budget)} tokens{_size(mixture)}"
    return f"recommended mixture{budget}: {shares}"


def _size(mixture: Mixture) -> str:
    return (
        "" if mixture.parameters is None else f" and {format_tokens(mixture.parameters)} parameters"
    )


def _heading(mixture: Mixture) -> str:
    budget = "" if mixture.token_budget is None else format_tokens(mixture.token_budget)
    size = "" if mixture.parameters is None else f"@ {format_tokens(mixture.parameters)}"
    return f"{budget} {size}".strip() + f"\n{mixture.kind}"


def _cell(mixture: Mixture, domain: str) -> str:
    interval = None if mixture.intervals is None else mixture.intervals[domain]
    text = percent(mixture.proportions[domain], interval)
    if interval is not None:
        text += f" ({percent_span(interval)})"
    rule = mixture.binding.get(domain)
    return f"{text}\n{rule}" if rule else text
