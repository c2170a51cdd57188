"""How the best mixture moves with the tokens of a run and the size of its model."""

from __future__ import annotations

from collections.abc import Sequence

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord, Mixture
from mixscale.fit.output.sections.mixtures import run_words
from mixscale.pages.bars import Kind, legend
from mixscale.pages.elements import Html, joined
from mixscale.pages.frame import paragraph, section
from mixscale.pages.glossary import term
from mixscale.pages.panels import Axes, Series, panel, panels, round_ticks
from mixscale.pages.rounding import percent
from mixscale.pages.tables import table

_MOST_PANELS = 12
_SIZES: tuple[Kind, ...] = ("advised", "third", "fourth", "fifth")
_TICK_RATIO = 3.0
_LEAST_MOVED = 5e-4
"""Parts of the tokens below which there is nothing to see."""


def movement(record: FitRecord) -> Html | None:
    """Draw the share of each domain against the token budget, a line for each size of model."""
    title = "How the best mixture moves"
    points = sorted(
        (m for m in record.mixtures if m.token_budget), key=lambda m: m.token_budget or 0
    )
    if len({(m.token_budget, m.parameters) for m in points}) < 2:
        return section(title, paragraph(_alone(points), class_="note"))
    names = _largest(record, points[-1])
    axes = _axes(points, names)
    sizes = sorted({m.parameters or 0 for m in points})
    kinds: dict[int, Kind] = {size: _SIZES[min(i, len(_SIZES) - 1)] for i, size in enumerate(sizes)}
    drawn = [panel(name, _series(points, name, kinds), axes, _say(points, name)) for name in names]
    keys: list[tuple[Kind, str]] = [
        (kind, f"model of {format_tokens(size)} parameters") for size, kind in kinds.items() if size
    ]
    caption = joined(
        [
            "Share of the tokens in the best mixture, by ",
            term("token budget"),
            ". Filled points are optima of fits to measured runs, open ones are ",
            term("projected"),
            " (shaded); bands are 90 % intervals.",
            f" The {len(names)} largest domains." if len(names) < len(record.domains) else "",
        ]
    )
    return section(
        title, legend(keys) if len(keys) > 1 else None, panels(drawn, caption), _table(record)
    )


def _alone(points: Sequence[Mixture]) -> str:
    if not points:
        return (
            "The tables do not say how many tokens the runs saw, so the mixture holds for runs "
            "like them. With --tokens and --targets it is projected to the run to come."
        )
    return (
        "One token budget was measured and none was asked for beside it. Name the run to come, as "
        "in --targets 300B@7B, and measure a second scale to see the mixture move."
    )


def _series(points: Sequence[Mixture], name: str, kinds: dict[int, Kind]) -> list[Series]:
    series = []
    for size, kind in kinds.items():
        of_size = [m for m in points if (m.parameters or 0) == size]
        known = all(m.intervals for m in of_size)
        spans = [m.intervals[name] for m in of_size if m.intervals] if known else None
        series.append(
            Series(
                x=[m.token_budget or 1 for m in of_size],
                y=[100 * m.proportions[name] for m in of_size],
                kind=kind,
                filled=[m.kind == "measured" for m in of_size],
                low=None if spans is None else [100 * low for low, _ in spans],
                high=None if spans is None else [100 * high for _, high in spans],
            )
        )
    return series


def _axes(points: Sequence[Mixture], names: Sequence[str]) -> Axes:
    tops = [
        (m.intervals[name][1] if m.intervals else m.proportions[name])
        for m in points
        for name in names
    ]
    y_ticks = round_ticks(100 * max(tops))
    budgets = sorted({float(m.token_budget or 1) for m in points})
    measured = [float(m.token_budget or 1) for m in points if m.kind == "measured"]
    last = max(measured, default=budgets[0])
    return Axes(
        x=(budgets[0], budgets[-1]),
        y=(0.0, y_ticks[-1]),
        x_ticks=[(b, format_tokens(b)) for b in _apart(budgets)],
        y_ticks=[(tick, f"{tick:.3g} %") for tick in y_ticks],
        from_x=last if last < budgets[-1] else None,
    )


def _apart(budgets: Sequence[float]) -> list[float]:
    """Ticks far enough apart that their labels do not overlap."""
    least = max(_TICK_RATIO, (budgets[-1] / budgets[0]) ** 0.2)
    kept = [budgets[-1]]
    for budget in reversed(budgets[:-1]):
        if budget * least <= kept[-1]:
            kept.append(budget)
    return kept


def _say(points: Sequence[Mixture], name: str) -> str:
    first, last = points[0], points[-1]
    return (
        f"{percent(first.proportions[name])} at {format_tokens(first.token_budget or 0)} tokens, "
        f"{percent(last.proportions[name])} at {format_tokens(last.token_budget or 0)}"
    )


def _largest(record: FitRecord, mixture: Mixture) -> list[str]:
    order = sorted(record.domains, key=lambda name: -mixture.proportions[name])
    kept = set(order[:_MOST_PANELS])
    return [name for name in record.domains if name in kept]


def _table(record: FitRecord) -> Html | None:
    """What moves the mixture, a row for each run asked for."""
    moved = [(m, m.moved) for m in record.mixtures if m.moved is not None]
    if not any(max(by.tokens, by.repeats, by.size) >= _LEAST_MOVED for _, by in moved):
        return None
    rows = [
        [run_words(m), percent(by.tokens), percent(by.repeats), percent(by.size)] for m, by in moved
    ]
    return table(
        "Part of the tokens that goes to other domains than at the largest measured scale",
        ["run", "with its tokens", "since text repeats", "with the model's size"],
        rows,
        show_caption=True,
    )
