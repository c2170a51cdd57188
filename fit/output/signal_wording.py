"""What a result says about the differences between its runs beside their noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import Recommendation, Scale, Signal

ENOUGH = 2.0
"""Times the noise that the differences must be. With less, a mixture chosen by some seeds of real
runs did not gain under the others, see `docs/fit.md`."""
_MOST_RUNS = 100


def sentence(scale: Scale) -> str | None:
    """State signal, noise and ratio of one scale; None where the noise is unknown."""
    found = scale.signal
    if found is None:
        return None
    times = f"{found.ratio:.1f} times the noise of a comparison ({found.noise:.2g})"
    if found.change is None:
        return f"{_at(scale)}mixtures differ by {found.between:.2g}, {times}"
    return (
        f"{_at(scale)}changing a domain moves the objective by {found.change:.2g}; from domain to "
        f"domain that differs by {found.between:.2g}, {times}"
    )


def warnings(scales: Sequence[Scale], recommended: Recommendation) -> Iterator[str]:
    """Warn of runs that say too little, and say what would make them say more."""
    low = [(scale, scale.signal) for scale in scales if scale.signal is not None]
    low = [(scale, found) for scale, found in low if found.ratio < ENOUGH]
    if low:
        yield _too_low(low, sure=recommended.action == "change")
    last = scales[-1].signal
    if last is not None and recommended.action != "change":
        yield from _not_sure(recommended, last)


def _too_low(low: Sequence[tuple[Scale, Signal]], sure: bool) -> str:
    found = low[0][1]
    times = _together([f"{signal.ratio:.1f}" for _, signal in low])
    text = (
        f"{_at(*(scale for scale, _ in low))}the differences that tell "
        f"{'mixtures' if found.change is None else 'domains'} apart are {times} times the noise of "
        f"a comparison; "
    )
    # A law of many runs tells mixtures apart that two runs do not.
    text += (
        f"below {ENOUGH:g} two runs do not tell which mixture is better, only all runs together "
        "do, as far as the law is right. "
        if sure
        else f"below {ENOUGH:g} the best mixture found is mostly noise. "
    )
    text += f"To reach {ENOUGH:g} takes {_runs([_needed(signal) for _, signal in low], found)}."
    return text[0].upper() + text[1:]


def _needed(found: Signal) -> float:
    """Runs of each mixture with which the ratio would be enough."""
    return found.runs_each * (ENOUGH / found.ratio) ** 2 if found.ratio else math.inf


def _not_sure(recommended: Recommendation, last: Signal) -> Iterator[str]:
    gain, bounds = recommended.gain, recommended.interval
    if gain is None or bounds is None or gain <= 0 or bounds[0] > 0:
        return
    needed = last.runs_each * ((gain - bounds[0]) / gain) ** 2
    yield (
        f"The predicted gain of {gain:.2g} may be real, but its 90 % interval ({bounds[0]:.2g} to "
        f"{bounds[1]:.2g}) holds zero. It shrinks with the square root of the number of seeds. To "
        f"settle it takes {_runs([needed], last)}."
    )


def runs_of_each(found: Signal) -> str:
    """How many runs of each mixture would raise the ratio to what is enough."""
    return f"about {_counted(_needed(found), found)}".replace("about more", "more")


def _counted(needed: float, found: Signal) -> str:
    least = math.floor(found.runs_each) + 1
    return f"more than {_MOST_RUNS}" if needed > _MOST_RUNS else str(max(math.ceil(needed), least))


def _runs(needed: Sequence[float], found: Signal) -> str:
    """How many runs would do, each time, and what would do instead."""
    many = [_counted(number, found) for number in needed]
    about = "" if needed[0] > _MOST_RUNS else "about "
    return (
        f"{about}{_together(many)} runs of each mixture instead of {found.runs_each:.2g}, a larger "
        'scale, or a recipe with less noise (docs/training.md, "Choosing a recipe by its noise")'
    )


def _at(*scales: Scale) -> str:
    budgets = [format_tokens(scale.scale_tokens) for scale in scales if scale.scale_tokens]
    return f"at {_together(budgets)} tokens " if budgets else ""


def _together(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
