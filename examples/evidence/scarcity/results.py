"""Write the tables and the figure of docs/validation/final-runs.md from the records.

    python -m examples.evidence.scarcity.results [NAME ...] [--print]

Without names all are made. With `--print` nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from examples.evidence.pages import DOCS, differences, write
from examples.evidence.scarcity.calibration import LAWS, chances, decisions, predictor
from examples.evidence.scarcity.designs import designs
from examples.evidence.scarcity.final_runs import (
    MEANING,
    all_shares,
    final_losses,
    learning_curve,
    sql,
)
from examples.evidence.scarcity.methods import TARGET as FINAL_RUN
from examples.evidence.scarcity.methods import Choice, read_choices, supply
from examples.evidence.scarcity.movement import optima, ranks, repetition
from examples.evidence.seeds import interval
from examples.evidence.tables import markdown, percent, signed
from mixscale.fit.scaling.largest_scale import MovedLaw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = DOCS / "validation" / "final-runs.md"
COMMAND = "examples.evidence.scarcity.results"
COST = """
SELECT sweep, parameters, scale_tokens, count(*), sum(seen_tokens), sum(seconds)
FROM runs WHERE status = 'finished' AND sweep IN ('swarm', 'changes', 'baselines', 'final')
GROUP BY ALL ORDER BY ALL"""


def supplied() -> str:
    """What there is of each domain, and how often the final run reads it."""
    available = supply()
    total, domains = sum(available.values()), len(available)
    rows = [
        [
            domain,
            f"{tokens / 1000:.0f}k",
            f"{100 * tokens / total:.1f}",
            f"{FINAL_RUN.tokens / total:.1f}",
            f"{FINAL_RUN.tokens / domains / tokens:.1f}",
        ]
        for domain, tokens in available.items()
    ]
    columns = [
        "domain", "tokens to train on", "share, %", "epochs of the final run, natural",
        "equal shares",
    ]  # fmt: skip
    return markdown(columns, rows)


def mixtures(question: str) -> Callable[[], str]:
    """Make the table of what every method chose, with the repeats that it means."""

    def table() -> str:
        available = supply()
        rows = []
        for name, shares in all_shares(question).items():
            epochs = {d: shares[d] * FINAL_RUN.tokens / available[d] for d in available}
            most = max(epochs, key=lambda domain: epochs[domain])
            cells = [f"{100 * shares[domain]:.1f}" for domain in available]
            rows.append([MEANING[name], *cells, f"{epochs[most]:.1f} {most}"])
        return markdown(["share, %", *available, "most epochs"], rows)

    return table


def payoff(question: str) -> Callable[[], str]:
    """Make the table of final losses against both baselines, tokens saved and regret."""

    def table() -> str:
        losses = final_losses(question)
        best = min(losses, key=lambda name: losses[name].mean())
        rows = []
        for name in MEANING:
            if name not in losses:
                continue
            own = losses[name]
            cells = [MEANING[name], f"{own.mean():.3f}"]
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


def _slope(name: str, question: str) -> float:
    """Fall of a baseline's loss per e-fold of tokens over the second half of its runs."""
    tokens, losses = learning_curve(name, question)
    half = tokens >= tokens[-1] / 2
    return float(-np.polyfit(np.log(tokens[half]), losses[half], 1)[0])


def predictions(question: str) -> Callable[[], str]:
    """Make the table of gains over natural: as stated, as laws predict them, and as measured."""

    def table() -> str:
        losses, shares = final_losses(question), all_shares(question)
        choices = read_choices(question)
        joint, separable = (predictor(question, law) for law in LAWS)
        # Fits move a law of all scales towards what the largest scale says.
        whole = replace(
            joint, law=joint.law.whole if isinstance(joint.law, MovedLaw) else joint.law
        )
        rows = []
        for name in MEANING:
            if name not in losses or name == "natural":
                continue
            both = np.array([[shares[other][d] for d in supply()] for other in ("natural", name)])
            laws = [law.predict(both) for law in (whole, joint, separable)]
            rows.append(
                [
                    MEANING[name],
                    _stated(choices.get(name)),
                    *(f"{before - after:+.3f}" for before, after in laws),
                    signed(*interval(losses["natural"] - losses[name])),
                ]
            )
        columns = [
            "gain over natural", "as the method stated it", "`joint` of all scales", "`joint`",
            "`separable`", "measured",
        ]  # fmt: skip
        return markdown(columns, rows)

    return table


def _stated(choice: Choice | None) -> str:
    if choice is None or choice.gain is None:
        return ""
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
    losses = final_losses("final")
    found = {
        meaning: losses[name] - losses["natural"]
        for name, meaning in MEANING.items()
        if name in losses and name != "natural"
    }
    return differences(found, "natural", size=(8.5, 4), lift=0.2)


TABLES: dict[str, Callable[[], str]] = {
    "supply": supplied,
    "mixtures": mixtures("final"),
    "payoff": payoff("final"),
    "predictions": predictions("final"),
    "decisions": decisions,
    "chances": chances,
    "optima": optima,
    "ranks": ranks,
    "repetition": repetition,
    "focused-mixtures": mixtures("focused"),
    "focused-payoff": payoff("focused"),
    "focused-predictions": predictions("focused"),
    "cost": cost,
    "designs": designs,
}
FIGURES: dict[str, Callable[[], Figure]] = {"payoff": figure}


def main() -> None:
    """Make what was asked for."""
    write(PAGE, COMMAND, TABLES, FIGURES, prefix="scarcity-")


if __name__ == "__main__":
    main()
