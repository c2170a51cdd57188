"""Two fits on one page: their mixtures, gains and laws, and what differs in what was read."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FIT, FitRecord, read_fit
from mixscale.fit.output.advised import Advised, advised
from mixscale.fit.output.sections.mixtures import (
    shown_interval,
    shown_name,
    shown_shares,
    with_interval,
)
from mixscale.fit.output.units import amount_with_interval, name_of
from mixscale.fit.output.verdict import left_out_error, verdict
from mixscale.pages.bars import Bar, Kind, bars, legend, swatch
from mixscale.pages.elements import Html, element, joined
from mixscale.pages.frame import Page, paragraph, render, section
from mixscale.pages.glossary import term
from mixscale.pages.rounding import percent, percent_span
from mixscale.pages.tables import cell, small, table

_FEW_NAMES = 8
Pair = tuple[FitRecord, FitRecord]


def compare(fit_folder: Path, other_folder: Path) -> Path:
    """Write a page about two fits, `compare-<id of the other>.html`, into the first one's folder.

    Args:
        fit_folder: The folder of `fit.json`, or the file.
        other_folder: Likewise.

    Raises:
        UserError: One of them is no fit record.
    """
    records = read_fit(fit_folder), read_fit(other_folder)
    folder = Path(fit_folder)
    folder = folder.parent if folder.name == FIT else folder
    page = folder / f"compare-{records[1].fit_id}.html"
    with atomic_write(page) as stream:
        stream.write(render_comparison(*records))
    return page


def render_comparison(first: FitRecord, second: FitRecord) -> str:
    """Lay out the page about two fits."""
    pair = first, second
    return render(
        Page(
            title=f"{first.fit_id} and {second.fit_id}",
            lead="Two fits side by side.",
            sections=[
                _answers(pair),
                section("The mixtures", *_mixtures(pair)),
                section("Gains and laws", _numbers(pair)),
                section("What differs in what was read", _differences(pair)),
            ],
            footer=f"mixscale {first.versions.get('mixscale', '')}",
        )
    )


def _answers(pair: Pair) -> Html:
    return element("div", *(_answer(record) for record in pair), class_="beside")


def _answer(record: FitRecord) -> Html:
    found = advised(record)
    said = verdict(record, found)
    return element(
        "section",
        element("h2", record.fit_id, id=f"of-{record.fit_id}"),
        element(
            "div",
            paragraph(element("strong", said.what)),
            paragraph(said.gain),
            paragraph(said.rests_on, class_="note"),
            class_="verdict" if found.said.action == "change" else "verdict keep",
        ),
        aria_labelledby=f"of-{record.fit_id}",
    )


def _mixtures(pair: Pair) -> Iterable[Html]:
    found = advised(pair[0]), advised(pair[1])
    shares = [shown_shares(one) for one in found]
    names = list(dict.fromkeys([*pair[0].domains, *pair[1].domains]))
    spans = [{name: _interval(one, name) for name in names} for one in found]
    ends = [span[1] for of_fit in spans for span in of_fit.values() if span]
    most = max([*ends, *(share for of_fit in shares for share in of_fit.values())])
    rows = []
    for name in names:
        drawn = [
            Bar(value=of_fit.get(name, 0.0), kind=kind, span=span[name])
            for of_fit, kind, span in zip(shares, ("advised", "third"), spans, strict=True)
        ]
        cells = [
            _share(of_fit.get(name), span[name]) for of_fit, span in zip(shares, spans, strict=True)
        ]
        both = all(name in of_fit for of_fit in shares)
        by = f"{100 * (shares[1][name] - shares[0][name]):+.1f}" if both else "-"
        rows.append([name, cell(bars(drawn, most), class_="bars"), *cells, by])
    yield legend([("advised", pair[0].fit_id), ("third", pair[1].fit_id)])
    kinds: tuple[Kind, Kind] = ("advised", "third")
    heads = [term("domain"), "", *map(_heading, found, kinds), "points more"]
    caption = "Share of the tokens in both mixtures, with 90 % intervals"
    yield table(caption, heads, rows, class_="wide", show_caption=True)


def _interval(found: Advised, name: str) -> tuple[float, float] | None:
    return shown_interval(found, name) if name in found.shares else None


def _heading(found: Advised, kind: Kind) -> Html:
    return joined([swatch(kind), " ", shown_name(found), small(found.run or "runs as measured")])


def _share(share: float | None, span: tuple[float, float] | None) -> Html | str:
    if share is None:
        return "no such domain"
    return with_interval(share, span)


def _numbers(pair: Pair) -> Html:
    found = advised(pair[0]), advised(pair[1])
    rows: list[list[object]] = [
        ["advice", *(one.said.action for one in found)],
        ["predicted gain", *(_gain(r, one) for r, one in zip(pair, found, strict=True))],
        ["tokens saved", *(_saved(one) for one in found)],
        [
            "chance of a loss",
            *("-" if (h := one.said.harm) is None else _chance(h) for one in found),
        ],
        ["law", *(record.law for record in pair)],
        ["left-out error", *(_error(record) for record in pair)],
        ["noise taken from", *(record.noise for record in pair)],
    ]
    columns = (1, 2)
    return table(
        "Gains and laws of both", ["", *(r.fit_id for r in pair)], rows, text_columns=columns
    )


def _chance(harm: float) -> str:
    return "below 0.1 %" if harm < 0.001 else percent(harm)


def _gain(record: FitRecord, found: Advised) -> str:
    if found.said.gain is None:
        return "-"
    return amount_with_interval(record, found.said.gain, found.said.interval)


def _saved(found: Advised) -> str:
    saved, interval = found.mixture.tokens_saved, found.mixture.tokens_saved_interval
    if saved is None:
        return "not known"
    return percent(saved, interval) + (f" ({percent_span(interval)})" if interval else "")


def _error(record: FitRecord) -> str:
    scores = (s for s in record.laws if s.law == record.law and s.held_out is not None)
    score = next(scores, None)
    return "not compared with others" if score is None else left_out_error(record, score)


def _differences(pair: Pair) -> Html:
    """A row for each fact that is not the same of both."""
    facts = _facts(pair[0], pair[1]), _facts(pair[1], pair[0])
    rows = [
        [name, facts[0][name], facts[1][name]]
        for name in facts[0]
        if facts[0][name] != facts[1][name]
    ]
    if not rows:
        return paragraph("Nothing: the same runs, results, objective and constraints.")
    heads = ["", *(record.fit_id for record in pair)]
    return table("What differs in what was read", heads, rows, text_columns=(1, 2))


def _facts(record: FitRecord, other: FitRecord) -> dict[str, str]:
    """What was read and asked, in words; of long lists what the other one lacks."""
    reading = record.reading
    return {
        "experiment": record.experiment or "tables",
        "domains": _list_against(record.domains, other.domains),
        "results": _list_against(record.validation, other.validation),
        "runs": str(record.cost.runs),
        "run ids": _list_against(record.run_ids, other.run_ids),
        "tokens of all runs": "-"
        if record.cost.tokens is None
        else format_tokens(record.cost.tokens),
        "scales": ", ".join(_tokens(scale.scale_tokens) for scale in record.scales),
        "sizes of models": ", ".join(format_tokens(s) for s in record.model_sizes) or "not known",
        "objective": _objective(record),
        "constraints": _plain(record.constraints.model_dump(mode="json", exclude_defaults=True)),
        "mixture in use": ", ".join(f"{d} {percent(s)}" for d, s in advised(record).now.items()),
        "tokens that exist": ", ".join(
            f"{d} {format_tokens(n)}" for d, n in record.available_tokens.items()
        ),
        "runs to come": ", ".join(
            _run(m.token_budget, m.parameters) for m in record.mixtures if m.kind == "projected"
        ),
        "domains read as": "-" if reading is None else reading.unit,
        "joined by": "-" if reading is None else reading.key or "order",
        "columns not used": "-" if reading is None else _names(reading.ignored),
        "runs left out": "-" if reading is None else _names(reading.left_out),
        "resamples": str(record.bootstrap),
        "mixscale": record.versions.get("mixscale", "-"),
    }


def _list_against(names: Collection[str], others: Collection[str]) -> str:
    alone = [name for name in names if name not in set(others)]
    return f"{len(names)}" + (f", alone here: {_names(alone)}" if alone else "")


def _names(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _FEW_NAMES} more" if len(every) > _FEW_NAMES else ""
    return ", ".join(every[:_FEW_NAMES]) + more or "none"


def _objective(record: FitRecord) -> str:
    settings = _plain(record.objective.model_dump(mode="json", exclude_defaults=True))
    return f"{name_of(record)}{f', {settings}' if settings else ''}"


def _plain(settings: Mapping[str, object]) -> str:
    return json.dumps(settings)[1:-1].replace('"', "") or "none"


def _tokens(tokens: int | None) -> str:
    return "not known" if tokens is None else format_tokens(tokens)


def _run(tokens: int | None, parameters: int | None) -> str:
    return _tokens(tokens) + (f"@{format_tokens(parameters)}" if parameters else "")
