"""The page that shows a fit to people."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import (
    FIT,
    FitRecord,
    Gain,
    Mixture,
    Recommendation,
    read_fit,
)
from mixscale.contracts.metrics import metric_named
from mixscale.fit.output.figures import draw_figures
from mixscale.fit.output.signal_wording import ENOUGH
from mixscale.fit.output.wording import reading_lines, result_lines
from mixscale.pages.elements import Html, listed
from mixscale.pages.frame import Page, render, section
from mixscale.pages.tables import table

PAGE = "report.html"

_FIGURES = {
    "mixture": (
        "Mixture by token budget",
        "Filled points are optima of fits to measured runs, open ones are projected; bands are "
        "90 % intervals. The dashed line is the recommended mixture.",
    ),
    "responses": (
        "Response of the objective to each domain",
        "Each curve holds the other domains at their base tokens. Points are the runs, bars 90 % "
        "of their noise, bands 90 % intervals of the curves.",
    ),
    "effects": (
        "What more of a domain does elsewhere",
        "Change in each validation loss when one training domain is increased and the others are "
        "kept, against the base run. Blue is better.",
    ),
    "laws": (
        "Laws compared",
        "Mean absolute error of the objective on mixtures that the law had not seen, and at the "
        "largest scale when fitted to the smaller ones.",
    ),
}


def report(fit_folder: Path) -> Path:
    """Write `report.html` with its figures into a fit's folder.

    The page holds everything it shows: it needs no other file and asks the network for nothing.

    Args:
        fit_folder: The folder of `fit.json`, or the file.

    Raises:
        UserError: There is no fit record.
    """
    record = read_fit(fit_folder)
    folder = Path(fit_folder)
    folder = folder.parent if folder.name == FIT else folder
    figures = draw_figures(record, folder)
    page = folder / PAGE
    with atomic_write(page) as stream:
        stream.write(
            render_page(record, {name: path.read_bytes() for name, path in figures.items()})
        )
    return page


def render_page(record: FitRecord, figures: dict[str, bytes]) -> str:
    """Lay out the page; `figures` are PNG files by name."""
    parts = [
        _head(record),
        _verdict(record),
        _section("Mixtures", _mixtures(record)),
        _section("How the best mixture moves", _movement(record)),
        _section("Predicted gain of the best mixture", _gains(record)),
        _section("Constraints that bind", _binding(record)),
        *(_figure(name, figures[name], record) for name in _FIGURES if name in figures),
        _section("Errors of the laws", _scores(record)),
        _section("Results by way of a loss", _list(list(result_lines(record)))),
        _section("Signal and noise", _signal(record)),
        _section("Fit quality", _quality(record)),
        _section("What the proxy runs cost", _cost(record)),
        _section("Remarks", _remarks(record)),
        _section("What was read", _reading(record)),
        _section("Settings", _settings(record)),
    ]
    head, verdict, *sections = parts
    return render(
        Page(
            title=record.fit_id,
            lead=Html(head),
            sections=[Html(verdict), *(Html(part) for part in sections if part)],
        )
    )


def _head(record: FitRecord) -> str:
    aim = metric_named(record.objective.metric).title if record.aim is None else record.aim.title
    return (
        f"Law <b>{escape(record.law)}</b>, fitted to {record.cost.runs} runs; "
        f"objective: {_over(record)} of the {escape(aim)}"
        f"{', more is better' if _more(record) else ''}."
    )


def _over(record: FitRecord) -> str:
    """What the objective is a mean of, counting only what has a weight."""
    if record.aim is not None:
        families = len(record.objective.families)
        of = f"mean over {families} families, a {record.aim.over}" if families else record.aim.over
        return escape(of)
    weights = record.objective.weights
    if weights is None:
        return f"mean over {len(record.validation)} validation domains"
    counted = [name for name in record.validation if weights.get(name, 0) > 0]
    if len(counted) == 1:
        return f"{escape(counted[0])} alone"
    equal = len({weights[name] for name in counted}) == 1
    return f"{'' if equal else 'weighted '}mean over {len(counted)} validation domains"


def _more(record: FitRecord) -> bool:
    """Whether more of the objective is better."""
    return record.aim is not None and record.aim.higher_is_better


def _verdict(record: FitRecord) -> str:
    """A decision for each budget that was asked for, or else for the largest measured one."""
    asked = [m for m in record.mixtures if m.kind == "projected" and m.decision]
    return "\n".join(
        [_decision(m.decision, m.token_budget, m.parameters) for m in asked if m.decision]
        or [_decision(record.recommended, record.recommended.token_budget)]
    )


def _decision(said: Recommendation, budget: int | None, parameters: int | None = None) -> str:
    keep = " keep" if said.action != "change" else ""
    at = f" for {format_tokens(budget)} tokens" if budget else ""
    at += f" and {format_tokens(parameters)} parameters" if budget and parameters else ""
    text = f"<b>{escape(said.action.capitalize() + at)}.</b> {escape(said.reason)}"
    return f'<div class="verdict{keep}">{text}</div>'


def _mixtures(record: FitRecord) -> str:
    heads = ["domain"]
    for mixture in record.mixtures:
        budget = _run(mixture) if mixture.token_budget else "shares"
        heads.append(f"{budget}<small>best, {mixture.kind}</small>")
        if mixture.recommended is not None:
            heads.append("<small>recommended</small>")
    rows = [[escape(domain), *_cells(record, domain)] for domain in record.domains]
    return _table(heads, rows)


def _run(mixture: Mixture) -> str:
    """The run that a mixture is for."""
    budget = format_tokens(mixture.token_budget) if mixture.token_budget else ""
    if mixture.parameters is None:
        return budget
    return f"{budget}<small>{format_tokens(mixture.parameters)} parameters</small>"


def _movement(record: FitRecord) -> str:
    """How the best mixture moves with tokens, repeats and size, a row for each run asked for."""
    rows = [
        [_run(m), f"{m.moved.tokens:.2%}", f"{m.moved.repeats:.2%}", f"{m.moved.size:.2%}"]
        for m in record.mixtures
        if m.moved is not None
    ]
    if not rows:
        return ""
    heads = ["run", "with its tokens", "since text repeats", "with the model's size"]
    return _table(heads, rows) + (
        "<p>Parts of the tokens that go to other domains than in the best mixture of the largest "
        "measured scale.</p>"
    )


def _cells(record: FitRecord, domain: str) -> Iterable[str]:
    for mixture in record.mixtures:
        yield _share(mixture, domain)
        if mixture.recommended is not None:
            yield f"<b>{mixture.recommended[domain]:.2%}</b>"


def _share(mixture: Mixture, domain: str) -> str:
    text = f"{mixture.proportions[domain]:.2%}"
    if mixture.intervals is not None:
        low, high = mixture.intervals[domain]
        text += f"<small>{low:.1%} to {high:.1%}</small>"
    return text


def _gains(record: FitRecord) -> str:
    """Predicted objective with the gains over other mixtures, a column for each budget."""
    shown = [m for m in record.mixtures if m.predicted_objective is not None]
    if not shown:
        return ""
    heads = [_run(m) for m in shown]
    rows = [["predicted objective", *(_objective(m) for m in shown)]]
    rows += [
        [
            f"{'higher' if _more(record) else 'lower'} than {escape(name)} by",
            *(_gain(m, over) for m in shown),
        ]
        for name, over in _distinct_gains([gain for m in shown for gain in m.gains])
    ]
    than = f"recommended: {'higher' if _more(record) else 'lower'} than current by"
    rows.append([than, *(_own_gain(m) for m in shown)])
    rows.append(["predicted by law", *(escape(m.predicted_by or "-") for m in shown)])
    return _table(["", *heads], rows)


def _objective(mixture: Mixture) -> str:
    return f"{mixture.predicted_objective:.4f}" + _span(mixture.objective_interval)


def _gain(mixture: Mixture, over: frozenset[str]) -> str:
    gain = next((gain for gain in mixture.gains if gain.over in over), None)
    return "-" if gain is None else f"{gain.gain:.4f}" + _span(gain.interval)


def _own_gain(mixture: Mixture) -> str:
    if mixture.recommended_gain is None:
        return "-"
    return f"{mixture.recommended_gain:.4f}" + _span(mixture.recommended_interval)


def _span(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"<small>{interval[0]:.4f} to {interval[1]:.4f}</small>"


def _distinct_gains(gains: Sequence[Gain]) -> Iterable[tuple[str, frozenset[str]]]:
    """Names of the mixtures that gains are over, equal ones together, with all of them."""
    groups: dict[tuple[float, ...], dict[str, None]] = {}
    for gain in gains:
        shares = tuple(round(s, 6) for s in gain.proportions.values())
        # What is nearest to the current mixture differs from budget to budget.
        same = (float(len(shares)),) if gain.over == "nearest allowed" else shares
        groups.setdefault(same, {})[gain.over] = None
    for names in groups.values():
        yield " = ".join(names), frozenset(names)


def _binding(record: FitRecord) -> str:
    items = []
    for mixture in record.mixtures:
        budget = f"{format_tokens(mixture.token_budget)} tokens" if mixture.token_budget else "all"
        held = ", ".join(f"{domain} ({rule})" for domain, rule in mixture.binding.items())
        if held:
            items.append(f"{budget}: {held}")
    return _list(items) or "<p>None: every domain is off its bounds at every budget.</p>"


def _figure(name: str, png: bytes, record: FitRecord) -> str:
    title, caption = _FIGURES[name]
    data = base64.b64encode(png).decode("ascii")
    return _section(
        title,
        f'<figure class="scroll"><img id="{name}" alt="{escape(title)}" '
        f'src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>",
    )


def _signal(record: FitRecord) -> str:
    """How large the differences between runs are beside their noise, a row for each scale."""
    found = [(scale, scale.signal) for scale in record.scales if scale.signal is not None]
    rows = [
        [
            format_tokens(scale.scale_tokens) if scale.scale_tokens else "all",
            _number(signal.change),
            _number(signal.between),
            _number(signal.noise),
            f"{signal.ratio:.1f}",
            f"{signal.runs_each:.3g}",
        ]
        for scale, signal in found
    ]
    if not rows:
        return ""
    heads = ["scale", "change against the base run", "difference between domains or mixtures"]
    heads += ["noise of a comparison", "ratio", "runs of each"]
    return _table(heads, rows) + (
        "<p>Root mean squares of the objective without what the noise adds. The ratio is that of "
        f"the difference and the noise; below {ENOUGH:g} the mixture found is mostly noise.</p>"
    )


def _scores(record: FitRecord) -> str:
    """Errors of the laws that were compared, with standard errors over the left-out mixtures."""
    if not record.laws:
        return ""
    rows = [
        [
            f"<b>{escape(score.law)}</b>" if score.law == record.law else escape(score.law),
            "-" if score.coefficients is None else str(score.coefficients),
            _plus_minus(score.held_out, score.held_out_error),
            _plus_minus(score.next_scale, score.next_scale_error),
            _plus_minus(score.next_size, score.next_size_error),
        ]
        for score in record.laws
    ]
    heads = ["law", "coefficients", "left-out mixtures", "next scale", "next size"]
    return _table(heads, rows) + (
        "<p>Mean absolute errors of the objective, with standard errors over the left-out "
        "mixtures. Of the laws within one standard error of the best, the one is taken that "
        "reaches other token budgets.</p>"
    )


def _plus_minus(value: float | None, error: float | None) -> str:
    if value is None or error is None:
        return _number(value)
    return f"{value:.5f} ± {error:.5f}"


def _quality(record: FitRecord) -> str:
    rows = []
    for scale in record.scales:
        rows.append(
            [
                format_tokens(scale.scale_tokens) if scale.scale_tokens else "all",
                str(scale.runs),
                _number(scale.base_objective),
                _number(scale.residual_rms),
                _number(scale.noise_objective),
                escape(", ".join(scale.no_response)) or "-",
                escape(", ".join(scale.too_noisy)) or "-",
            ]
        )
    heads = ["scale", "runs", "base objective", "residual, RMS", "noise of one run"]
    heads += ["no measurable response", "too noisy to tell"]
    noise = _number(record.noise_objective)
    text = f"Noise of one run's objective, all scales together: {noise} ({record.noise})."
    return _table(heads, rows) + f"<p>{text}</p>"


def _cost(record: FitRecord) -> str:
    cost = record.cost
    tokens = "unknown tokens" if cost.tokens is None else f"{format_tokens(cost.tokens)} tokens"
    time = "" if cost.seconds is None else f", {_duration(cost.seconds)} of training and evaluation"
    sizes = ", ".join(format_tokens(size) for size in record.model_sizes)
    counted = f" ({record.parameters_are})" if record.parameters_are else ""
    of = f" Models of {sizes} parameters{counted}." if sizes else ""
    return f"<p>{cost.runs} runs, {tokens}{time}.{of}</p>"


def _reading(record: FitRecord) -> str:
    return "" if record.reading is None else _list(list(reading_lines(record.reading)))


def _remarks(record: FitRecord) -> str:
    notes = [f"{s.law}: {s.note}" for s in record.laws if s.note]
    return _list([*record.warnings, *notes])


def _settings(record: FitRecord) -> str:
    constraints = record.constraints.model_dump(mode="json", exclude_defaults=True)
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return _list(
        [
            f"constraints: {_plain(constraints) or 'the default, a little of every domain'}",
            f"resamples: {record.bootstrap}",
            f"versions: {versions}",
        ]
    )


def _plain(settings: dict[str, Any]) -> str:
    """Settings as YAML would have them on a line."""
    return json.dumps(settings)[1:-1].replace('"', "")


def _section(title: str, body: str) -> str:
    return section(title, Html(body) if body else None) or ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[Html(cell) for cell in row] for row in rows]
    return table("Numbers of this fit", [Html(head) for head in heads], cells)


def _list(items: Sequence[str]) -> str:
    return listed(items) or ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
