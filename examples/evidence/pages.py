"""Tables and figures in the pages of docs/."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from examples.evidence.experiments import HERE
from mixscale.contracts.atomic import atomic_path

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
