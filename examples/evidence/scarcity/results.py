"""Write the tables and the figure of docs/scarcity.md from the records.

    python -m examples.evidence.scarcity.results [NAME ...] [--print]

Without names all are made. With `--print` nothing is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from examples.evidence.pages import DOCS, draw, put
from examples.evidence.scarcity.designs import designs
from examples.evidence.scarcity.methods import FOCUS, OUT, Choice, baseline, read_choices, supply
from examples.evidence.scarcity.methods import TARGET as FINAL_RUN
from examples.evidence.seeds import interval
from examples.evidence.tables import markdown, percent, signed
from mixscale.contracts.atomic import atomic_write
from mixscale.fit.arrays import Floats
from mixscale.shards.sql.index import open_index

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = DOCS / "scarcity.md"
COMMAND = "examples.evidence.scarcity.results"
BASELINES = {
    "uniform": "uniform",
    "natural": "natural, by supply",
    "root": "square root of supply",
}
METHODS = {
    "smallest": "`ddo`, optimum of the smallest budget unchanged",
    "regmix": "`regmix`, largest budget",
    "ddo": "`ddo`, projected (AutoScale)",
    "joint_blind": "`joint`, projected, repeats not seen",
    "joint": "`joint`, projected",
    "auto": "recommended (`auto`)",
}

LOSSES = """
SELECT mixture, list(loss ORDER BY seed) FROM (
    SELECT mixture, seed, avg(loss_nats) AS loss
    FROM runs JOIN run_domains USING (run_id)
    WHERE sweep IN (SELECT unnest(?)) AND status = 'finished' AND list_contains(?, domain)
    GROUP BY ALL)
GROUP BY mixture"""
CURVE = """
SELECT tokens, avg(loss_nats)
FROM runs JOIN learning_curves USING (run_id)
WHERE sweep = 'baselines' AND mixture = ? AND status = 'finished' AND list_contains(?, domain)
GROUP BY tokens ORDER BY tokens"""
COST = """
SELECT sweep, parameters, scale_tokens, count(*), sum(seen_tokens), sum(seconds)
FROM runs WHERE status = 'finished' AND sweep IN ('swarm', 'changes', 'baselines', 'final')
GROUP BY ALL ORDER BY ALL"""


def sql(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask the index of the shard set, which sees the run records."""
    with open_index(OUT / "shardset", out=OUT) as connection:
        return connection.execute(query, list(parameters)).fetchall()


@cache
def final_losses(question: str) -> dict[str, Floats]:
    """By mixture, (seeds,) the mean of the losses that a question is about."""
    domains = list(FOCUS) if question == "focused" else list(supply())
    return {name: np.array(losses) for name, losses in sql(LOSSES, _sweeps(question), domains)}


def _sweeps(question: str) -> list[str]:
    return ["baselines", question]


def mixtures(question: str) -> Callable[[], str]:
    """Make the table of what every method chose, with the repeats that it means."""

    def table() -> str:
        available = supply()
        rows = []
        for name, shares in _all_shares(question).items():
            epochs = {d: shares[d] * FINAL_RUN.tokens / available[d] for d in available}
            most = max(epochs, key=lambda domain: epochs[domain])
            cells = [f"{100 * shares[domain]:.1f}" for domain in available]
            rows.append([_meaning(name), *cells, f"{epochs[most]:.1f} {most}"])
        return markdown(["share, %", *available, "most epochs"], rows)

    return table


def _all_shares(question: str) -> dict[str, dict[str, float]]:
    chosen = {name: choice.shares for name, choice in read_choices(question).items()}
    return {name: baseline(name) for name in BASELINES} | chosen


def _meaning(name: str) -> str:
    return (BASELINES | METHODS)[name]


def payoff(question: str) -> Callable[[], str]:
    """Make the table of final losses against both baselines, tokens saved and regret."""

    def table() -> str:
        losses = final_losses(question)
        best = min(losses, key=lambda name: losses[name].mean())
        rows = []
        for name in BASELINES | METHODS:
            if name not in losses:
                continue
            own = losses[name]
            cells = [_meaning(name), f"{own.mean():.3f}"]
            for other in ("natural", "uniform"):
                cells.append("" if name == other else signed(*interval(own - losses[other])))
            cells.append(_saved(name, question))
            cells.append("" if name == best else signed(*interval(own - losses[best])))
            rows.append(cells)
        columns = [
            "mixture", "loss", "against natural", "against uniform",
            "tokens saved against the better of the two, %", "regret",
        ]  # fmt: skip
        return markdown(columns, rows)

    return table


def _saved(name: str, question: str) -> str:
    """Part of the run left when a mixture has the final loss of the better baseline.

    By that baseline's own curve: how many tokens it would have needed for the mixture's final loss
    cannot be read from it, so the curve's slope at its end (in the logarithm of tokens) carries on.
    """
    losses = final_losses(question)
    better = min(("natural", "uniform"), key=lambda other: losses[other].mean())
    if name == better:
        return ""
    mean, low, high = interval(losses[name] - losses[better])
    slope = _slope(better, question)
    saved = (1 - float(np.exp(difference / slope)) for difference in (mean, high, low))
    return percent(*saved)


@cache
def _slope(name: str, question: str) -> float:
    """Fall of a baseline's loss per e-fold of tokens over the second half of its runs."""
    domains = list(FOCUS) if question == "focused" else list(supply())
    tokens, losses = map(np.array, zip(*sql(CURVE, name, domains), strict=True))
    half = tokens >= tokens[-1] / 2
    return float(-np.polyfit(np.log(tokens[half]), losses[half], 1)[0])


def predictions(question: str) -> Callable[[], str]:
    """Make the table of gains over natural as each method stated them, and as measured."""

    def table() -> str:
        losses = final_losses(question)
        rows = []
        for name, choice in read_choices(question).items():
            if choice.gain is None or name not in losses:
                continue
            measured = interval(losses["natural"] - losses[name])
            rows.append([_meaning(name), choice.law, _stated(choice), signed(*measured)])
        columns = ["gain over natural", "law", "predicted", "measured"]
        return markdown(columns, rows)

    return table


def _stated(choice: Choice) -> str:
    assert choice.gain is not None
    if choice.interval is None:
        return f"{choice.gain:+.4f}"
    return signed(choice.gain, *choice.interval)


def cost() -> str:
    """What the runs cost."""
    rows = [
        [sweep, f"{parameters / 1000:.0f}k", f"{scale / 1000:.0f}k", runs, f"{seen / 1e6:.1f}M",
         f"{seconds / 3600:.2f}"]
        for sweep, parameters, scale, runs, seen, seconds in sql(COST)
    ]  # fmt: skip
    columns = ["sweep", "parameters", "budget", "runs", "tokens", "hours on one core"]
    return markdown(columns, rows)


def figure() -> Figure:
    """Differences to natural, seed by seed."""
    import matplotlib.pyplot as plt

    losses = final_losses("final")
    names = [name for name in BASELINES | METHODS if name in losses and name != "natural"]
    drawn, panel = plt.subplots(figsize=(8.5, 4))
    for row, name in enumerate(reversed(names)):
        values = losses[name] - losses["natural"]
        mean, low, high = interval(values)
        panel.plot([low, high], [row, row], color="#0072b2", lw=2)
        panel.plot(mean, row, "o", color="#0072b2")
        panel.plot(values, np.full(len(values), row + 0.2), "|", color="#888888", ms=8)
    panel.axvline(0, color="#bbbbbb", lw=0.8)
    panel.set_yticks(range(len(names)), [_meaning(n).replace("`", "") for n in reversed(names)])
    panel.set_xlabel("mean validation loss against natural, nats (left is better; bars: 90 %)")
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.tick_params(axis="y", length=0)
    drawn.tight_layout()
    return drawn


TABLES: dict[str, Callable[[], str]] = {
    "mixtures": mixtures("final"),
    "payoff": payoff("final"),
    "predictions": predictions("final"),
    "focused-mixtures": mixtures("focused"),
    "focused-payoff": payoff("focused"),
    "focused-predictions": predictions("focused"),
    "cost": cost,
    "designs": designs,
}
FIGURES: dict[str, Callable[[], Figure]] = {"payoff": figure}


def main() -> None:
    """Make what was asked for."""
    parser = argparse.ArgumentParser(description="Make the tables of docs/scarcity.md.")
    parser.add_argument("names", nargs="*", default=list(TABLES), metavar="NAME")
    parser.add_argument("--print", action="store_true", help="change no file")
    arguments = parser.parse_args()
    for name in arguments.names:
        table = TABLES[name]()
        if arguments.print:
            print(f"{name}\n\n{table}\n", flush=True)
            continue
        page = put(PAGE.read_text(), name, table, COMMAND)
        with atomic_write(PAGE) as stream:
            stream.write(page)
        if name in FIGURES:
            draw(f"scarcity-{name}", FIGURES[name]())


if __name__ == "__main__":
    main()
