"""Write the tables and figures of docs/results.md from the records.

    python -m examples.evidence.results [NAME ...] [--print]

Without names all are made. A table replaces what stands in docs/results.md between its two marks;
with `--print` it is only shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from examples.evidence import cheaper, noise, payoff, scale_dependence
from examples.evidence.pages import DOCS, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = DOCS / "results.md"
COMMAND = "examples.evidence.results"
TABLES: dict[str, Callable[[], str]] = {
    "optima": scale_dependence.optima,
    "movement": scale_dependence.movement,
    "distances": scale_dependence.distances,
    "middle": scale_dependence.middle,
    "middle-losses": scale_dependence.middle_losses,
    "payoff": payoff.payoff,
    "predictions": payoff.predictions,
    "cheaper": cheaper.cheaper,
    "seeds": cheaper.seeds,
    "recipes": noise.recipes,
    "variances": noise.variances,
    "evaluation": noise.evaluation,
    "cost": noise.cost,
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "optima": scale_dependence.figure,
    "payoff": payoff.figure,
}


def main() -> None:
    """Make what was asked for."""
    write(PAGE, COMMAND, TABLES, FIGURES)


if __name__ == "__main__":
    main()
