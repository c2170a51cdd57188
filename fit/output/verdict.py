"""The answer of a fit in three sentences: what to do, what it brings, what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord, LawScore
from mixscale.fit.output.advised import Advised, advised
from mixscale.fit.output.units import amount, amount_with_interval, more_is_better, name_of, unit_of
from mixscale.pages.rounding import percent, percent_span

_LEAST_CHANCE = 0.001  # a smaller one says more of the formula than of the mixture
_SMALL_CHANCE = 0.1
_MOST_NAMED = 3
_STEP = "A step of"
"""How the reason begins that weighs a gain against its risk."""
_DOUBT = "but law"
"""Where it goes on to another law."""
_LARGEST_SAVING = 10.0  # times the tokens; beyond, an end of an interval tells nothing


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Three sentences."""

    what: str
    """The mixture."""
    gain: str
    """What it is predicted to bring, and how sure that is."""
    rests_on: str


def verdict(record: FitRecord, found: Advised | None = None) -> Verdict:
    """Say what a record comes to.

    Args:
        record: The fit.
        found: The decision; that for the largest run when absent.
    """
    found = found or advised(record)
    return Verdict(what=_what(found), gain=gain_of(record, found), rests_on=rests_on(record))


def rests_on(record: FitRecord) -> str:
    """Say which runs and which law stand behind the answer."""
    scales = [scale.scale_tokens for scale in record.scales if scale.scale_tokens]
    of = [
        f"{_together([format_tokens(number) for number in numbers])} {unit}"
        for numbers, unit in ((scales, "tokens"), (record.model_sizes, "parameters"))
        if numbers
    ]
    runs = f"Rests on {record.cost.runs} runs{f' ({joined})' if (joined := '; '.join(of)) else ''}"
    return f"{runs}; law {record.law}, {_error(record)}."


def _what(found: Advised) -> str:
    run = f" for {found.run}" if found.run else ""
    if not found.change:
        return f"Keep the mixture in use{run}."
    verb = "Change the mixture" if found.said.action == "change" else "Take the nearest mixture"
    allowed = "" if found.said.action == "change" else " that the constraints allow"
    return f"{verb}{allowed}{run}: {moved(found)}."


def moved(found: Advised) -> str:
    """Name the domains whose shares change most, from what to what."""
    named = list(found.changes)[:_MOST_NAMED]
    if not named:
        return "no share changes by as much as 0.05 %"
    rest = len(found.changes) - len(named)
    beside = f" ({rest} smaller change{'s' if rest > 1 else ''})" if rest else ""
    return ", ".join(_from_to(found, name) for name in named) + beside


def _from_to(found: Advised, name: str) -> str:
    before, after = found.now[name], found.shares[name]
    return f"{name} {percent(before).removesuffix(' %')} → {percent(after, found.interval(name))}"


def gain_of(record: FitRecord, found: Advised) -> str:
    """Say what the advised mixture is predicted to bring, and how sure that is."""
    if found.said.action != "change":
        return _why_not(record, found)
    value, interval = found.mixture.recommended_gain, found.mixture.recommended_interval
    if value is None:
        value, interval = found.said.gain, found.said.interval
    if value is None:
        return found.said.reason
    way = "higher" if more_is_better(record) else "lower"
    text = f"Predicted{_where(found)}: {name_of(record)} {way} by "
    text += amount_with_interval(record, value, interval)
    return f"{text}{_tokens(found)}; {_sure(found)}."


def _where(found: Advised) -> str:
    """Where the gain is predicted, if that is not the run itself."""
    at, budget = found.said.decided_at, found.mixture.token_budget
    return f" at {format_tokens(at)} tokens" if at and at != budget else ""


def _tokens(found: Advised) -> str:
    """The gain in tokens, where a law tells what they are worth."""
    saved, interval = found.mixture.tokens_saved, found.mixture.tokens_saved_interval
    if saved is None or saved <= 0:
        return ""
    if interval is None or interval[0] < -_LARGEST_SAVING:
        return f", as with {percent(saved)} fewer tokens"
    return f", as good with {percent(saved, interval)} fewer tokens ({percent_span(interval)})"


def _sure(found: Advised) -> str:
    harm = found.said.harm
    if harm is None:
        return "the noise is unknown, so how sure that is, too"
    return f"chance that it is a loss: {_chance(harm)}"


def _why_not(record: FitRecord, found: Advised) -> str:
    """Why no gain is promised: the record's own reason, or its numbers where it has them."""
    said, promised, harm = found.said, found.said.gain, found.said.harm
    if promised is None or said.interval is None or harm is None:
        return said.reason
    if promised <= 0 or _STEP not in said.reason:
        return said.reason
    gain = amount_with_interval(record, promised, said.interval)
    gain = gain if unit_of(record) else f"{name_of(record)} {gain}"
    forbidden = "The constraints forbid the one in use. " if said.over != "current" else ""
    promise = f"{forbidden}The best change found{_where(found)} promises {gain}"
    if harm >= (said.risk or 1):
        chance = f"a chance of a loss of {_chance(harm)} ({percent(said.risk or 0)} is taken)"
        return f"{promise}: too unsure, with {chance}."
    if said.second_gain is not None and _DOUBT in said.reason:
        other = amount(record, said.second_gain, said.interval)
        return f"{promise} under law {said.predicted_by}, but {other} under {said.second_law}."
    return said.reason


def _chance(harm: float) -> str:
    if harm < _LEAST_CHANCE:
        return f"below {percent(_LEAST_CHANCE)}"
    return percent(float(f"{harm:.1g}" if harm < _SMALL_CHANCE else f"{harm:.2g}"))


def _error(record: FitRecord) -> str:
    """How far the law is off on what it has not seen."""
    score = next((s for s in record.laws if s.law == record.law and s.held_out is not None), None)
    if score is not None:
        return f"left-out error {left_out_error(record, score)}"
    residual = record.scales[-1].residual_rms
    if residual is None:
        return "not compared with other laws"
    return f"which fits its runs to {amount(record, residual, digits=2)}"


def left_out_error(record: FitRecord, score: LawScore) -> str:
    """A law's error with the digits that its standard error leaves."""
    assert score.held_out is not None
    error = score.held_out_error
    spread = None if error is None else (score.held_out - error, score.held_out + error)
    return amount(record, score.held_out, spread)


def _together(items: Sequence[str]) -> str:
    if len(items) > _MOST_NAMED:
        return f"{items[0]} to {items[-1]}"
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
