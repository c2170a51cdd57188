"""Tables and figures in the pages of docs/."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from examples.evidence.experiments import HERE
from examples.evidence.seeds import interval
from mixscale.contracts.atomic import atomic_path, atomic_write
from mixscale.fit.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCS = HERE.parents[1] / "docs"


def put(page: str, name: str, table: str, module: str) -> str:
    """Replace a table in a page, with the command that makes it.

    Args:
        page: Text of the page, with marks `<!-- name -->` and `<!-- end name -->`.
        name: Of the table.
        table: Its Markdown.
        module: What `python -m` runs to make it.

    Raises:
        KeyError: The page has no marks for it.
    """
    marks = f"<!-- {name} -->", f"<!-- end {name} -->"
    pattern = re.escape(marks[0]) + ".*?" + re.escape(marks[1])
    if not re.search(pattern, page, flags=re.DOTALL):
        raise KeyError(f"no {marks[0]} … {marks[1]}")
    whole = f"{marks[0]}\n\n{table}\n\n`python -m {module} {name}`\n\n{marks[1]}"
    return re.sub(pattern, lambda _: whole, page, flags=re.DOTALL)


def draw(name: str, figure: Figure) -> None:
    """Write a figure to docs/results."""
    with atomic_path(DOCS / "results" / f"{name}.png") as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})


def write(
    page: Path,
    module: str,
    tables: Mapping[str, Callable[[], str]],
    figures: Mapping[str, Callable[[], Figure]],
    prefix: str = "",
) -> None:
    """Make what the command line asks for: some tables of a page, or all, with their figures.

    Args:
        page: Where they stand.
        module: What `python -m` runs to make them.
        tables: What makes each, by name.
        figures: What draws the figure that goes with a table.
        prefix: Of the figures' file names.
    """
    parser = argparse.ArgumentParser(description=f"Make the tables of {page.name}.")
    parser.add_argument("names", nargs="*", default=list(tables), metavar="NAME")
    parser.add_argument("--print", action="store_true", help="change no file")
    arguments = parser.parse_args()
    for name in arguments.names:
        table = tables[name]()
        if arguments.print:
            print(f"{name}\n\n{table}\n", flush=True)
            continue
        with atomic_write(page) as stream:
            stream.write(put(page.read_text(), name, table, module))
        if name in figures:
            draw(f"{prefix}{name}", figures[name]())


def differences(
    found: Mapping[str, Floats], against: str, size: tuple[float, float], lift: float
) -> Figure:
    """Draw differences of mean losses to a mixture, seed by seed.

    Args:
        found: (seeds,) differences in nats by what they are called, from top to bottom.
        against: What they are differences to.
        size: Of the figure in inches.
        lift: Of the marks of single seeds over the mean, in rows.
    """
    import matplotlib.pyplot as plt

    drawn, panel = plt.subplots(figsize=size)
    upwards = list(found.items())[::-1]
    for row, (_, values) in enumerate(upwards):
        mean, low, high = interval(values)
        panel.plot([low, high], [row, row], color="#0072b2", lw=2)
        panel.plot(mean, row, "o", color="#0072b2")
        panel.plot(values, np.full(len(values), row + lift), "|", color="#888888", ms=8)
    panel.axvline(0, color="#bbbbbb", lw=0.8)
    panel.set_yticks(range(len(upwards)), [name.replace("`", "") for name, _ in upwards])
    panel.set_xlabel(f"mean validation loss against {against}, nats (left is better; bars: 90 %)")
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.tick_params(axis="y", length=0)
    drawn.tight_layout()
    return drawn
