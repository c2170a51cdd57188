"""The mixture in use and the recommended one, as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord, Interval, Mixture
from mixscale.fit.output.advised import Advised, advised, all_advised
from mixscale.pages.bars import Bar, bars, legend
from mixscale.pages.elements import Html, joined
from mixscale.pages.frame import details, paragraph, section
from mixscale.pages.glossary import term
from mixscale.pages.rounding import percent, percent_span
from mixscale.pages.tables import cell, small, table

MOST_BARS = 30
"""Domains with a bar; of more the ones that change most or are largest."""


def mixture(record: FitRecord) -> Html | None:
    """Draw both mixtures, with the epochs that the recommended one reads."""
    found = advised(record)
    return section(
        "The mixture",
        legend([("now", "now"), ("advised", shown_name(found))]),
        mixture_table(record, found),
        _all_runs(record),
    )


def mixture_table(record: FitRecord, found: Advised) -> Html:
    """The two mixtures of one decision: a row of bars and numbers for each domain."""
    names = shown_domains(record, found, MOST_BARS)
    shares, spans = shown_shares(found), {name: shown_interval(found, name) for name in names}
    most = max(
        [found.now[name] for name in names]
        + [max(shares[name], (spans[name] or (0.0, 0.0))[1]) for name in names]
    )
    epochs = epochs_of(record, found.mixture, shares)
    interval = small(term("interval", "90 % interval")) if any(spans.values()) else None
    heads: list[object] = [term("domain"), "", "now", joined([shown_name(found), interval])]
    heads += [term("epochs")] if epochs else []
    rows = []
    for name in names:
        drawn = [Bar(value=found.now[name], kind="now"), Bar(value=shares[name], span=spans[name])]
        span = spans[name]
        row = [
            name,
            cell(bars(drawn, most), class_="bars"),
            percent(found.now[name]),
            with_interval(shares[name], span),
        ]
        rows.append([*row, *([_times(epochs.get(name))] if epochs else [])])
    left = len(record.domains) - len(names)
    caption = f"Share of the tokens now and {shown_name(found)}"
    caption += f", for {found.run}" if found.run else ""
    note = paragraph(f"{left} domains with smaller shares are left out here.", class_="note")
    drawn = table(caption, heads, rows, show_caption=True, class_="wide")
    return joined([drawn, note if left else None])


def with_interval(share: float, span: Interval | None) -> Html:
    """A share with its interval below, where there is one to see."""
    text = percent(share, span)
    within = text if span is None else percent_span(span)
    return joined([text, None if within == text else small(within)])


def shown_name(found: Advised) -> str:
    """What the second mixture is: where the one in use is kept, the best that was found."""
    return "recommended" if found.change else "best found"


def shown_shares(found: Advised) -> Mapping[str, float]:
    """Its shares."""
    return found.shares if found.change else found.mixture.proportions


def shown_interval(found: Advised, domain: str) -> Interval | None:
    """The interval of one of its shares."""
    if found.change:
        return found.interval(domain)
    return None if found.mixture.intervals is None else found.mixture.intervals[domain]


def shown_domains(record: FitRecord, found: Advised, most: int) -> list[str]:
    """The domains to show, in the record's order."""
    if len(record.domains) <= most:
        return list(record.domains)
    shares = shown_shares(found)
    weight = {d: abs(shares[d] - found.now[d]) + shares[d] / 10 for d in record.domains}
    kept = set(sorted(record.domains, key=lambda d: weight[d], reverse=True)[:most])
    return [domain for domain in record.domains if domain in kept]


def epochs_of(record: FitRecord, mixture: Mixture, shares: Mapping[str, float]) -> dict[str, float]:
    """How often a run reads each domain whose text is counted; empty where nothing is known."""
    budget = mixture.token_budget
    if budget is None:
        return {}
    available = record.available_tokens
    return {
        d: shares[d] * budget / tokens for d, tokens in available.items() if tokens and d in shares
    }


def _times(epochs: float | None) -> str:
    if epochs is None:
        return "not known"
    return f"{epochs:.1f}" if epochs >= 1 else f"{epochs:.2g}"


def _all_runs(record: FitRecord) -> Html | None:
    """A table of the best and the recommended mixture for every measured and every asked run."""
    if len(record.mixtures) < 2:
        return None
    heads: list[object] = ["domain"]
    for one in record.mixtures:
        heads.append(joined([run_words(one), small("best, ", one.kind)]))
        if one.recommended is not None:
            heads.append(joined([run_words(one), small("recommended")]))
    rows = [[domain, *_cells(record.mixtures, domain)] for domain in record.domains]
    return details("Every measured scale and every run asked for", table("Mixtures", heads, rows))


def _cells(mixtures: Sequence[Mixture], domain: str) -> list[object]:
    cells: list[object] = []
    for one in mixtures:
        interval = None if one.intervals is None else one.intervals[domain]
        rule = one.binding.get(domain)
        share = with_interval(one.proportions[domain], interval)
        cells.append(joined([share, small(rule) if rule else None]))
        if one.recommended is not None:
            cells.append(percent(one.recommended[domain]))
    return cells


def run_words(mixture: Mixture) -> Html | str:
    """The run that a mixture is for, with the size of its model below."""
    if mixture.token_budget is None:
        return "shares"
    tokens = format_tokens(mixture.token_budget)
    if mixture.parameters is None:
        return tokens
    return joined([tokens, small(f"{format_tokens(mixture.parameters)} parameters")])


def kept_everywhere(record: FitRecord) -> bool:
    """Whether the mixture in use is kept for every run that was asked for."""
    return all(not one.change for one in all_advised(record))
