"""The figures of a fit's report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixscale.contracts.config import format_tokens
from mixscale.contracts.fit_record import FitRecord, Mixture, Response
from mixscale.fit.uncertainty.intervals import NORMAL_90

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
_INK, _FAINT = "#222222", "#bbbbbb"
_MOST_LINES = 12
"""Domains drawn one by one; beyond, only the largest are."""

Plot = Callable[[FitRecord], "Figure | None"]


def draw_figures(record: FitRecord, folder: Path) -> dict[str, Path]:
    """Write every figure that the record has the numbers for.

    Returns:
        The PNG files by the name of the figure.
    """
    from mixscale.contracts.atomic import atomic_path

    plots: dict[str, Plot] = {
        "mixture": plot_mixtures,
        "responses": plot_responses,
        "effects": plot_effects,
        "laws": plot_laws,
    }
    paths = {}
    for name, plot in plots.items():
        figure = plot(record)
        if figure is None:
            continue
        path = folder / f"{name}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
        paths[name] = path
    return paths


def plot_mixtures(record: FitRecord) -> Figure | None:
    """Share against token budget, a panel for each domain; bars for a single budget."""
    points = sorted((m for m in record.mixtures if m.token_budget), key=_budget)
    if len(points) < 2:
        return _plot_one_mixture(record.mixtures[-1])
    names = _largest(record, points[-1])
    figure, panels = _grid(len(names), same_y=True)
    budgets = np.array([_budget(m) for m in points], dtype=np.float64)
    ticks = _apart(budgets.tolist(), 3.0)
    for k, (axes, name) in enumerate(zip(panels, names, strict=True)):
        _draw_shares(axes, points, budgets, name, first=k == 0)
        axes.set_xscale("log")
        axes.set_xticks(ticks, [format_tokens(b) for b in ticks])
        axes.minorticks_off()
        axes.set_title(name, fontsize=10, pad=14)
    # Set once all panels are drawn: limits are shared.
    panels[0].set_ylim(0, None)
    _outer_labels(figure, "token budget", "share of tokens, %")
    return figure


def plot_responses(record: FitRecord) -> Figure | None:
    """Curves of the objective with the runs as points, a panel for each domain."""
    scales = [scale for scale in record.scales if scale.responses]
    if not scales:
        return None
    names = _largest(record, record.mixtures[len(record.scales) - 1])
    figure, panels = _grid(len(names), same_y=True)
    for axes, name in zip(panels, names, strict=True):
        for k, scale in enumerate(scales):
            label = f"{format_tokens(scale.scale_tokens)} tokens" if scale.scale_tokens else "runs"
            _draw_response(axes, label, scale.responses[name], k)
        flat = not scales[-1].responses[name].responds
        axes.set_title(f"{name}, no response" if flat else name, fontsize=10)
        axes.set_xscale("log")
        measured = {round(p.x, 2) for s in scales for p in s.responses[name].points}
        ticks = _apart(sorted(measured), 1.2)
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.minorticks_off()
        axes.axhline(1, color=_FAINT, lw=0.8, zorder=0)
    _outer_labels(
        figure,
        "tokens of the domain, multiple of the base run",
        "objective, multiple of the base run's",
    )
    if len(scales) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper right", ncols=4, frameon=False, fontsize=9
        )
    return figure


def plot_effects(record: FitRecord) -> Figure | None:
    """Change of each validation loss for each training domain's increase, at the largest scale."""
    scale = next((s for s in reversed(record.scales) if s.effects.get("increased")), None)
    if scale is None:
        return None
    rows = list(scale.effects["increased"])
    columns = list(record.validation)
    values = np.array([[scale.effects["increased"][r][c] for c in columns] for r in rows])
    width = 3.4 + 0.62 * len(columns)
    figure, axes = _axes(width, 1.7 + 0.42 * len(rows))
    limit = max(float(np.abs(values).max()), 1e-6)
    # Blue is better, whichever way a result goes.
    better = [c in record.results and record.results[c].higher_is_better for c in columns]
    costs = np.where(better, -values, values)
    image = axes.imshow(costs, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="validation domain", ylabel="training domain increased")
    if len(rows) * len(columns) <= 400:
        for (i, j), value in np.ndenumerate(values):
            strong = abs(value) > 0.6 * limit
            axes.text(j, i, f"{value:+.3f}", ha="center", va="center", fontsize=7.5,
                      color="white" if strong else _INK)  # fmt: skip
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    tasks = any(r.metric not in ("loss", "perplexity") for r in record.results.values())
    bar.set_label("change, less is better" if tasks else "change in loss, nats", fontsize=9)
    bar.ax.tick_params(labelsize=8.5)
    bar.outline.set_visible(False)  # type: ignore[union-attr]
    return figure


def plot_laws(record: FitRecord) -> Figure | None:
    """Held-out error of each law that was compared."""
    scored = [s for s in record.laws if s.held_out is not None]
    if len(scored) < 2:
        return None
    figure, axes = _axes(7, 1.2 + 0.42 * len(scored))
    places = np.arange(len(scored))[::-1]
    held_out = [s.held_out or 0.0 for s in scored]
    axes.barh(places + 0.17, held_out, 0.3, color=_COLOURS[0], label="left-out mixtures")
    further = [(p, s.next_scale) for p, s in zip(places, scored, strict=True) if s.next_scale]
    if further:
        at, errors = zip(*further, strict=True)
        axes.barh(np.array(at) - 0.17, errors, 0.3, color=_COLOURS[1], label="next scale")
    axes.set_yticks(places, [s.law for s in scored])
    title = record.objective.metric if record.aim is None else record.aim.title
    axes.set_xlabel(f"mean absolute error, {title}")
    _legend_right(axes)
    return figure


def _plot_one_mixture(mixture: Mixture) -> Figure:
    names = sorted(mixture.proportions, key=lambda n: mixture.proportions[n])
    figure, axes = _axes(7, 1.1 + 0.3 * len(names))
    shares = np.array([mixture.proportions[n] for n in names]) * 100
    errors = None
    if mixture.intervals is not None:
        spans = np.array([mixture.intervals[n] for n in names]) * 100
        errors = np.clip(np.stack([shares - spans[:, 0], spans[:, 1] - shares]), 0, None)
    axes.barh(range(len(names)), shares, 0.62, color=_COLOURS[0], xerr=errors, ecolor=_INK)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("share of tokens, %")
    return figure


def _draw_shares(
    axes: Axes, points: Sequence[Mixture], budgets: np.ndarray, name: str, *, first: bool
) -> None:
    """One domain: measured and projected optima with intervals, and what is recommended."""
    colour = _COLOURS[0]
    shares = np.array([m.proportions[name] for m in points]) * 100
    _mark_projection(axes, points, budgets, named=first)
    if all(m.intervals for m in points):
        spans = np.array([m.intervals[name] for m in points if m.intervals]) * 100
        axes.fill_between(budgets, spans[:, 0], spans[:, 1], color=colour, alpha=0.15, lw=0)
    axes.plot(budgets, shares, color=colour, lw=1.6)
    for m, x, y in zip(points, budgets, shares, strict=True):
        face = colour if m.kind == "measured" else "white"
        axes.plot(x, y, "o", ms=5, mfc=face, mec=colour, mew=1.3)
    if all(m.recommended for m in points):
        advised = np.array([m.recommended[name] for m in points if m.recommended]) * 100
        axes.plot(budgets, advised, linestyle="--", color=_COLOURS[1], lw=1.3)


def _draw_response(axes: Axes, label: str, response: Response, k: int) -> None:
    colour = _COLOURS[k % len(_COLOURS)]
    axes.plot(response.x, response.y, color=colour, lw=1.5, label=label)
    if response.low is not None and response.high is not None:
        axes.fill_between(response.x, response.low, response.high, color=colour, alpha=0.15, lw=0)
    x, y = [p.x for p in response.points], [p.y for p in response.points]
    bars = [NORMAL_90 * (p.noise or 0.0) for p in response.points]
    axes.errorbar(x, y, yerr=bars, fmt="o", ms=4, color=colour, elinewidth=1)


def _mark_projection(
    axes: Axes, points: Sequence[Mixture], budgets: np.ndarray, *, named: bool
) -> None:
    measured = [b for m, b in zip(points, budgets, strict=True) if m.kind == "measured"]
    if not measured or max(measured) == budgets[-1]:
        return
    start = max(measured)
    axes.axvspan(start, budgets[-1], color="#f4f1ea", zorder=0, lw=0)
    axes.axvline(start, color=_FAINT, lw=1, zorder=0)
    place = axes.get_xaxis_transform()
    for text, side in (("measured ", "right"), (" projected", "left")) if named else ():
        axes.text(start, 1.01, text, transform=place, ha=side, fontsize=8, color="#666666")


def _largest(record: FitRecord, mixture: Mixture) -> list[str]:
    """Domains to draw, in the record's order; the largest if there are too many."""
    if len(record.domains) <= _MOST_LINES:
        return list(record.domains)
    order = sorted(record.domains, key=lambda name: -mixture.proportions[name])
    kept = set(order[:_MOST_LINES])
    return [name for name in record.domains if name in kept]


def _apart(ticks: Sequence[float], ratio: float) -> list[float]:
    """Ticks far enough apart that their labels do not overlap."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick > ratio * kept[-1]:
            kept.append(tick)
    return kept


def _budget(mixture: Mixture) -> int:
    return mixture.token_budget or 0


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = _figure(width, height)
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def _grid(count: int, *, same_y: bool) -> tuple[Figure, list[Axes]]:
    """Panels in rows of at most four, on one scale."""
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = _figure(2.35 * columns + 0.7, 2.2 * rows + 0.7)
    panels: list[Axes] = []
    for k in range(count):
        shared = panels[0] if panels and same_y else None
        axes = figure.add_subplot(rows, columns, k + 1, sharey=shared)
        _plain(axes)
        axes.tick_params(labelleft=k % columns == 0)
        panels.append(axes)
    return figure, panels


def _figure(width: float, height: float) -> Figure:
    """A figure without a display or global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=_INK)
    axes.xaxis.label.set_fontsize(9.5)
    axes.yaxis.label.set_fontsize(9.5)


def _outer_labels(figure: Figure, x: str, y: str) -> None:
    figure.supxlabel(x, fontsize=9.5)
    figure.supylabel(y, fontsize=9.5)


def _legend_right(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
