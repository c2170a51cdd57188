"""What a terminal shows of a fit: the answer first, everything else on demand."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.table import Table

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord
from mixscale.fit.output.advised import Advised, advised, all_advised
from mixscale.fit.output.details import lines, render
from mixscale.fit.output.next_steps import NextStep, apply_step, surer_steps
from mixscale.fit.output.verdict import verdict
from mixscale.pages.rounding import percent, percent_span

WIDTH = 80
"""Characters of a line."""
_MOST_DOMAINS = 16
_MOST_RUNS = 3
_MOST_CAUTIONS = 3


def answer_lines(
    record: FitRecord, folder: Path | None = None, width: int = WIDTH
) -> Iterator[str]:
    """Say what to do, what it brings, what that rests on, and what to do next.

    Args:
        record: The fit.
        folder: Where it lies, for the command to copy.
        width: Characters of a line.
    """
    found = advised(record)
    said = verdict(record, found)
    yield from wrapped(said.what, width)
    yield from wrapped(said.gain, width)
    for other in all_advised(record):
        if other.said.action != found.said.action:
            yield from wrapped(f"For {other.run}: {other.said.action}.", width)
    yield from wrapped(said.rests_on, width)
    step = apply_step(record, folder)
    if step is not None:
        # A command that is broken into lines cannot be copied.
        yield f"Next: {step.command}"
    surer = surer_steps(record)
    if surer:
        label = "Next" if step is None else "Surer"
        yield from wrapped(f"{label}: {step_words(surer[0])}", width)


def step_words(step: NextStep) -> str:
    """A step with what it costs, or else what it brings."""
    return f"{step.do} ({step.cost})." if step.cost else f"{step.do}, so that {step.so_that}."


def mixture_table(record: FitRecord) -> Table:
    """Draw the mixture in use and the recommended ones: a row for each domain."""
    asked = all_advised(record)[-_MOST_RUNS:]
    now = asked[-1].now
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("domain", overflow="fold")
    table.add_column("now", justify="right")
    for one in asked:
        table.add_column(_heading(one, alone=len(asked) == 1), justify="right")
    shown = _largest_changes(record, asked[-1])
    for domain in shown:
        table.add_row(domain, percent(now[domain]), *(_share(one, domain) for one in asked))
    rest = len(record.domains) - len(shown)
    if rest:
        kept = [1 - sum(_shown(one)[d] for d in shown) for one in asked]
        before = 1 - sum(now[d] for d in shown)
        table.add_row(f"{rest} others", percent(before), *(percent(part) for part in kept))
    return table


def caution_lines(record: FitRecord, width: int = WIDTH) -> Iterator[str]:
    """Name what the result is limited by and can be mended, what costs most first."""
    found = record.cautions
    if found is None:
        # Records of earlier versions tell what matters and what does not in one list.
        if record.warnings:
            yield f"{len(record.warnings)} remarks on this fit: --details shows them."
        return
    for caution in found[:_MOST_CAUTIONS]:
        yield from wrapped(f"Note: {caution.says}; {caution.remedy}.", width)
    if len(found) > _MOST_CAUTIONS:
        yield f"{len(found) - _MOST_CAUTIONS} more: --details shows them."


def summary(record: FitRecord, folder: Path | None = None) -> Iterator[str | Table]:
    """Everything that is shown first, to print in this order."""
    yield from answer_lines(record, folder)
    yield ""
    yield mixture_table(record)
    cautions = list(caution_lines(record))
    if cautions:
        yield ""
        yield from cautions


def details(record: FitRecord) -> Iterator[str | Table]:
    """Everything else, likewise."""
    for caution in (record.cautions or ())[_MOST_CAUTIONS:]:
        yield from wrapped(f"Note: {caution.says}; {caution.remedy}.")
    yield render(record)
    yield from lines(record)


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """Break a sentence into lines, all but the first indented."""
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _heading(found: Advised, *, alone: bool) -> str:
    """What stands over the shares: where the mixture in use is kept, the best ones are shown."""
    mixture = found.mixture
    name = "recommended" if found.change else "best found"
    if alone or mixture.token_budget is None:
        return name
    size = f"@{format_tokens(mixture.parameters)}" if mixture.parameters else ""
    return f"{name},\n{format_tokens(mixture.token_budget)}{size}"


def _shown(found: Advised) -> Mapping[str, float]:
    return found.shares if found.change else found.mixture.proportions


def _share(found: Advised, domain: str) -> str:
    intervals = found.mixture.intervals
    interval = found.interval(domain)
    if not found.change:
        interval = None if intervals is None else intervals[domain]
    text = percent(_shown(found)[domain], interval)
    within = text if interval is None else percent_span(interval)
    return text if within == text else f"{text} ({within.removesuffix(' %')})"


def _largest_changes(record: FitRecord, found: Advised) -> list[str]:
    """Domains to show, in the record's order."""
    if len(record.domains) <= _MOST_DOMAINS:
        return list(record.domains)
    size = {d: (abs(found.shares[d] - found.now[d]), found.shares[d]) for d in record.domains}
    kept = set(sorted(record.domains, key=lambda d: size[d], reverse=True)[:_MOST_DOMAINS])
    return [domain for domain in record.domains if domain in kept]
