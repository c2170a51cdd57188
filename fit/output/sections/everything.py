"""What else a fit tells, closed until it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord, Gain, Mixture, Response, Scale
from mixscale.fit.output.sections.mixtures import run_words
from mixscale.fit.output.signal_wording import ENOUGH
from mixscale.fit.output.units import more_is_better
from mixscale.fit.output.wording import reading_lines, result_lines
from mixscale.pages.bars import Kind, legend
from mixscale.pages.elements import Html, element, joined, listed
from mixscale.pages.frame import details, paragraph
from mixscale.pages.panels import Axes, Series, panel, panels, round_ticks
from mixscale.pages.rounding import Interval, number, span
from mixscale.pages.tables import small, table

_KINDS: tuple[Kind, ...] = ("advised", "third", "fourth", "fifth")
_MOST_PANELS = 12


def everything(record: FitRecord) -> Html | None:
    """All other tables and remarks, each in a part that opens."""
    parts = [
        details("Predicted gain of the best mixture", _gains(record)),
        details("Constraints that bind", _binding(record)),
        details("Response of the objective to each domain", _responses(record)),
        details("Signal and noise", _signal(record)),
        details("Fit quality", _quality(record)),
        details("Results by way of a loss", listed(result_lines(record))),
        details("All remarks", _remarks(record)),
        details("What was read", _reading(record)),
        details("Settings", _settings(record)),
    ]
    return element(
        "section",
        element("h2", "Everything else", id="everything"),
        *parts,
        aria_labelledby="everything",
        class_="screen-only",
    )


def _gains(record: FitRecord) -> Html | None:
    """Predicted objective with the gains over other mixtures, a column for each run."""
    shown = [m for m in record.mixtures if m.predicted_objective is not None]
    if not shown:
        return None
    way = "higher" if more_is_better(record) else "lower"
    rows: list[list[object]] = [["predicted objective", *(_objective(m) for m in shown)]]
    rows += [
        [f"{way} than {name} by", *(_gain(m, over) for m in shown)]
        for name, over in _distinct_gains([gain for m in shown for gain in m.gains])
    ]
    own = [_known(m.recommended_gain, m.recommended_interval) for m in shown]
    rows.append([f"recommended: {way} than current by", *own])
    rows.append(["predicted by law", *(m.predicted_by or "-" for m in shown)])
    heads = ["", *(run_words(m) for m in shown)]
    return table("Predicted objective and gains", heads, rows)


def _objective(mixture: Mixture) -> Html | str:
    return _known(mixture.predicted_objective, mixture.objective_interval)


def _gain(mixture: Mixture, over: frozenset[str]) -> Html | str:
    gain = next((gain for gain in mixture.gains if gain.over in over), None)
    return "-" if gain is None else _known(gain.gain, gain.interval)


def _known(value: float | None, interval: Interval | None) -> Html | str:
    """A number with its interval below."""
    if value is None:
        return "-"
    below = None if interval is None else small(span(interval, value=value))
    return joined([number(value, interval, digits=5), below])


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


def _binding(record: FitRecord) -> Html | None:
    items = []
    for mixture in record.mixtures:
        run = f"{format_tokens(mixture.token_budget)} tokens" if mixture.token_budget else "all"
        held = ", ".join(f"{domain} ({rule})" for domain, rule in mixture.binding.items())
        items += [f"{run}: {held}"] if held else []
    return listed(items) or paragraph("None: every domain is off its bounds at every budget.")


def _responses(record: FitRecord) -> Html | None:
    """Curves of the objective with the runs as points, a panel for each domain."""
    scales = [scale for scale in record.scales if scale.responses]
    if not scales:
        return None
    names = list(record.domains)[:_MOST_PANELS]
    every = [scale.responses[name] for scale in scales for name in names]
    low, high = min(min(r.y) for r in every), max(max(r.y) for r in every)
    margin = max((high - low) * 0.1, 1e-6)
    left, right = min(min(r.x) for r in every), max(max(r.x) for r in every)
    step = round_ticks(high - low + 2 * margin)[1]
    first = round((low - margin) / step) * step
    y_ticks = [
        first + k * step for k in range(6) if low - margin <= first + k * step <= high + margin
    ]
    axes = Axes(
        x=(left, right),
        y=(low - margin, high + margin),
        x_ticks=[(x, f"{x:.3g}") for x in (1 / 3, 1.0, 3.0) if left <= x <= right],
        y_ticks=[(y, f"{y:.4g}") for y in y_ticks],
    )
    drawn = [
        panel(
            name if scales[-1].responses[name].responds else f"{name}, no response",
            [one for k, scale in enumerate(scales) for one in _curve(scale.responses[name], k)],
            axes,
            "the objective against the domain's tokens",
        )
        for name in names
    ]
    keys: list[tuple[Kind, str]] = [
        (_KINDS[k % 4], f"{format_tokens(s.scale_tokens)} tokens")
        for k, s in enumerate(scales)
        if s.scale_tokens
    ]
    caption = (
        "The objective, as a multiple of the base run's, against the tokens of one domain, as a "
        "multiple of the base run's; the others keep theirs. Bands are 90 % intervals."
    )
    return joined([legend(keys) if len(keys) > 1 else None, panels(drawn, caption)])


def _curve(response: Response, place: int) -> Iterable[Series]:
    kind = _KINDS[place % len(_KINDS)]
    yield Series(x=response.x, y=response.y, kind=kind, low=response.low, high=response.high)
    xs, ys = [p.x for p in response.points], [p.y for p in response.points]
    yield Series(x=xs, y=ys, kind=kind, line=None, filled=[True] * len(xs))


def _signal(record: FitRecord) -> Html | None:
    """How large the differences between runs are beside their noise, a row for each scale."""
    rows = [
        [
            _tokens(scale),
            "-" if scale.signal.change is None else number(scale.signal.change),
            number(scale.signal.between),
            number(scale.signal.noise),
            f"{scale.signal.ratio:.1f}",
            number(scale.signal.runs_each),
        ]
        for scale in record.scales
        if scale.signal is not None
    ]
    if not rows:
        return None
    heads = ["scale", "change against the base run", "difference between domains or mixtures"]
    heads += ["noise of a comparison", "ratio", "runs of each"]
    note = (
        "Root mean squares of the objective without what the noise adds. The ratio is that of the "
        f"difference and the noise; below {ENOUGH:g} the mixture found is mostly noise."
    )
    return joined([table("Signal and noise", heads, rows), paragraph(note, class_="note")])


def _quality(record: FitRecord) -> Html:
    rows = [
        [
            _tokens(scale),
            scale.runs,
            _number(scale.base_objective),
            _number(scale.residual_rms),
            _number(scale.noise_objective),
            ", ".join(scale.no_response) or "-",
            ", ".join(scale.too_noisy) or "-",
        ]
        for scale in record.scales
    ]
    heads = ["scale", "runs", "base objective", "residual, RMS", "noise of one run"]
    heads += ["no measurable response", "too noisy to tell"]
    noise = f"Noise of one run's objective, all scales together: {_number(record.noise_objective)} "
    return joined(
        [
            table("Fit quality", heads, rows, text_columns=(5, 6)),
            paragraph(f"{noise}({record.noise}).", class_="note"),
        ]
    )


def _tokens(scale: Scale) -> str:
    return format_tokens(scale.scale_tokens) if scale.scale_tokens else "all"


def _remarks(record: FitRecord) -> Html | None:
    notes = [f"{s.law}: {s.note}" for s in record.laws if s.note]
    return listed([*record.warnings, *notes])


def _reading(record: FitRecord) -> Html | None:
    return None if record.reading is None else listed(reading_lines(record.reading))


def _settings(record: FitRecord) -> Html | None:
    constraints = record.constraints.model_dump(mode="json", exclude_defaults=True)
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return listed(
        [
            f"constraints: {_plain(constraints) or 'the default, a little of every domain'}",
            f"resamples: {record.bootstrap}",
            f"versions: {versions}",
        ]
    )


def _plain(settings: dict[str, Any]) -> str:
    """Settings as YAML would have them on a line."""
    return json.dumps(settings)[1:-1].replace('"', "")


def _number(value: float | None) -> str:
    return "-" if value is None else number(value, digits=5)
