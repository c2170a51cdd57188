"""What to do after a fit, the cheapest first, with what it costs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord
from mixscale.fit.output.advised import Advised, advised

_LARGER = 4
"""Times as many tokens as the largest runs: far enough to see the mixture move, and affordable."""
_MOST_SEEDS = 20
_MOST_PAIRS = 8
_CLEAR = 2.0
"""Times its noise that a difference is to be seen at."""
_FEW_REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """Something to do."""

    do: str
    """In a clause."""
    so_that: str
    """What it tells or brings."""
    runs: int = 0
    tokens: float | None = None
    """Of all these runs; None where the tokens of runs are not known."""
    seconds: float | None = None
    """As long as the measured runs took for as many tokens; None where that is not known."""
    command: str | None = None
    """To copy."""

    @property
    def cost(self) -> str:
        """What it costs, in words; empty where it costs nothing."""
        if not self.runs:
            return ""
        parts = [f"{self.runs} runs" if self.runs > 1 else "1 run"]
        if self.tokens:
            parts.append(f"{format_tokens(self.tokens)} tokens")
        if self.seconds:
            parts.append(f"about {duration(self.seconds)}")
        return ", ".join(parts)


def apply_step(record: FitRecord, folder: Path | None) -> NextStep | None:
    """Write the advised mixture into the settings of the run; None where nothing changes."""
    found = advised(record)
    if not found.change:
        return None
    tokens = found.mixture.token_budget
    command = f"mixscale apply {_shown(folder)} --tokens "
    command += "TOKENS" if tokens is None else format_tokens(tokens)
    if found.mixture.parameters and found.mixture.size_given and found.mixture.kind == "projected":
        command += f" --parameters {format_tokens(found.mixture.parameters)}"
    return NextStep(
        do="write the mixture into the settings of the run",
        so_that="it trains on it",
        command=f"{command} run.yaml",
    )


def surer_steps(record: FitRecord) -> list[NextStep]:
    """What would make the advice surer or carry it further, the cheapest first."""
    found = advised(record)
    steps = [
        *_more_runs(record),
        *_seeds(record, found),
        *_pair(record, found),
        *_scales(record, found),
        *_sizes(record, found),
    ]
    steps.sort(key=lambda step: (step.tokens or 0, step.runs))
    # What costs more than the run that it is about is not worth it, unless nothing else is left.
    worth = [step for step in steps if (step.tokens or 0) <= _tokens_to_come(record, found)]
    return [*(worth or steps[:1]), *_questions(record, found)]


def _tokens_to_come(record: FitRecord, found: Advised) -> float:
    """Tokens of the proxy runs' model that cost as much as the run that the advice is for."""
    mixture = found.mixture
    if mixture.kind != "projected" or mixture.token_budget is None:
        return math.inf
    size = (
        mixture.parameters / record.model_sizes[-1]
        if mixture.parameters and record.model_sizes
        else 1
    )
    return mixture.token_budget * size


def duration(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def _more_runs(record: FitRecord) -> Iterator[NextStep]:
    """Where the noise is not known, or no decision is possible."""
    if record.noise in ("unknown", "evaluation"):
        runs = _FEW_REPEATS
        yield _step(
            record,
            do=f"run {runs} of the mixtures again with another seed",
            so_that="the noise is measured, and with it how sure the gain is",
            runs=runs,
        )


def _seeds(record: FitRecord, found: Advised) -> Iterator[NextStep]:
    """Where a gain is predicted, and its interval holds zero."""
    said, signal = found.said, record.scales[-1].signal
    if said.gain is None or said.interval is None or said.gain <= 0 or said.interval[0] > 0:
        return
    each = 1.0 if signal is None else signal.runs_each
    needed = math.ceil(each * ((said.gain - said.interval[0]) / said.gain) ** 2)
    more = max(needed - round(each), 1)
    if needed > _MOST_SEEDS:
        return
    mixtures = round(record.scales[-1].runs / each)
    yield _step(
        record,
        do=f"{more} more seed{'s' if more > 1 else ''} of each mixture",
        so_that="a gain of this size is told from none",
        runs=more * mixtures,
    )


def _pair(record: FitRecord, found: Advised) -> Iterator[NextStep]:
    """The mixture in use and the other one, side by side at a larger scale."""
    gain = found.mixture.recommended_gain if found.change else found.said.gain
    noise, scale = record.noise_objective, record.scales[-1].scale_tokens
    if not gain or gain <= 0 or scale is None or found.said.over != "current":
        return
    pairs = 1 if not noise else math.ceil((_CLEAR * math.sqrt(2) * noise / gain) ** 2)
    if pairs > _MOST_PAIRS:
        return
    larger = min(_LARGER, max((found.mixture.token_budget or math.inf) / scale, 1.0))
    seeds = "" if pairs == 1 else f" with {pairs} seeds each"
    other = "recommended one" if found.change else "best one found"
    yield _step(
        record,
        do=f"train the mixture in use and the {other} on {format_tokens(larger * scale)} "
        f"tokens{seeds}",
        so_that="the gain is measured, not predicted",
        runs=2 * pairs,
        larger=larger,
    )


def _scales(record: FitRecord, found: Advised) -> Iterator[NextStep]:
    """Where the target is far beyond the largest runs, or one scale alone was measured."""
    last = record.scales[-1]
    budget = found.mixture.token_budget
    if last.scale_tokens is None or budget is None or budget <= last.scale_tokens:
        return
    if len(record.scales) == 1 or budget > 100 * last.scale_tokens or not found.change:
        which = "a second" if len(record.scales) == 1 else "a larger"
        yield _step(
            record,
            do=f"{which} scale: the same mixtures on {format_tokens(_LARGER * last.scale_tokens)} "
            "tokens",
            so_that="how the best mixture moves with tokens is seen",
            runs=last.runs,
            larger=_LARGER,
        )


def _sizes(record: FitRecord, found: Advised) -> Iterator[NextStep]:
    """Where the target's model is larger than those of the runs, which all have one size."""
    wanted, sizes = found.mixture.parameters, record.model_sizes
    if len(sizes) != 1 or not wanted or wanted < 1.05 * sizes[0]:
        return
    yield _step(
        record,
        do=f"a second size: the same mixtures with a model of {format_tokens(sizes[0] / 4)} "
        "parameters",
        so_that="how the best mixture moves with the model's size is seen",
        runs=record.scales[-1].runs,
        larger=0.25,
        same_tokens=True,
    )


def _questions(record: FitRecord, found: Advised) -> Iterator[NextStep]:
    """What asking more of the same runs would tell."""
    if record.scales[-1].scale_tokens is None:
        yield NextStep(
            do="say what the runs read and what is to come (--tokens 1B --targets 300B)",
            so_that="the mixture is projected to the run that it is for",
        )
    elif found.mixture.kind == "measured":
        where = "`targets` in experiment.yaml" if record.experiment else "--targets"
        yield NextStep(
            do=f"name the run to come, as in 300B@7B ({where})",
            so_that="the mixture is projected to it",
        )
    elif not record.available_tokens:
        yield NextStep(
            do="say how much text there is (--available web=2T, --max-epochs 4)",
            so_that="no domain is asked to repeat more than it can",
        )


def _step(
    record: FitRecord,
    *,
    do: str,
    so_that: str,
    runs: int,
    larger: float = 1.0,
    same_tokens: bool = False,
) -> NextStep:
    """A step of runs as long as those of the largest scale, or `larger` times."""
    scale = record.scales[-1].scale_tokens
    each = None if scale is None else scale * (1 if same_tokens else larger)
    tokens = None if each is None else runs * each
    seconds = None
    if tokens and record.cost.seconds and record.cost.tokens:
        seconds = tokens * (larger if same_tokens else 1) * record.cost.seconds / record.cost.tokens
    return NextStep(do=do, so_that=so_that, runs=runs, tokens=tokens, seconds=seconds)


def _shown(folder: Path | None) -> str:
    """The folder as it is best typed: within the working folder its place there, else whole."""
    if folder is None:
        return "FIT"
    try:
        relative = os.path.relpath(folder)
    except ValueError:
        return str(folder)
    return str(folder) if relative.startswith(os.pardir) else relative
