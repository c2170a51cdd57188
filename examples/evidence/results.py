"""Write the tables and figures of docs/results.md from the records.

    python -m examples.evidence.results [NAME ...] [--print]

Without names all are made. A table replaces what stands in docs/results.md between its two marks;
with `--print` it is only shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from examples.evidence import cheaper, noise, payoff, scale_dependence
from examples.evidence.pages import DOCS, draw, put
from mixscale.contracts.atomic import atomic_write

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
    parser = argparse.ArgumentParser(description="Make the tables of docs/results.md.")
    parser.add_argument("names", nargs="*", default=list(TABLES), metavar="NAME")
    parser.add_argument("--print", action="store_true", help="change no file")
    arguments = parser.parse_args()
    for name in arguments.names:
        table = TABLES[name]()
        if arguments.print:
            print(f"{name}\n\n{table}\n", flush=True)
            continue
        with atomic_write(PAGE) as stream:
            stream.write(put(PAGE.read_text(), name, table, COMMAND))
        if name in FIGURES:
            draw(name, FIGURES[name]())


if __name__ == "__main__":
    main()
