"""The page that shows a fit to people."""

from __future__ import annotations

from pathlib import Path

from mixscale.contracts.atomic import atomic_write
from mixscale.contracts.fit_record import FIT, FitRecord, read_fit
from mixscale.contracts.metrics import metric_named
from mixscale.fit.output.figures import draw_figures
from mixscale.fit.output.sections.answer import answer, surer
from mixscale.fit.output.sections.cost import cost
from mixscale.fit.output.sections.effects import effects
from mixscale.fit.output.sections.everything import everything
from mixscale.fit.output.sections.laws import laws
from mixscale.fit.output.sections.mixtures import mixture
from mixscale.fit.output.sections.movement import movement
from mixscale.fit.output.units import more_is_better
from mixscale.pages.elements import Html, element, joined
from mixscale.pages.frame import Page, render
from mixscale.pages.glossary import term

PAGE = "report.html"


def report(fit_folder: Path) -> Path:
    """Write `report.html`, and its figures as PNG files, into a fit's folder.

    The page holds everything it shows: it needs no other file and asks the network for nothing.

    Args:
        fit_folder: The folder of `fit.json`, or the file.

    Raises:
        UserError: There is no fit record.
    """
    record = read_fit(fit_folder)
    folder = Path(fit_folder)
    folder = folder.parent if folder.name == FIT else folder
    draw_figures(record, folder)
    page = folder / PAGE
    with atomic_write(page) as stream:
        stream.write(render_page(record, folder))
    return page


def render_page(record: FitRecord, folder: Path | None = None) -> str:
    """Lay out the page of a fit.

    Args:
        record: The fit.
        folder: Where it lies, for the commands to copy.
    """
    return render(
        Page(
            title=record.fit_id,
            lead=lead(record),
            sections=[
                answer(record, folder),
                mixture(record),
                movement(record),
                effects(record),
                element("div", laws(record), cost(record), class_="beside"),
                surer(record),
                everything(record),
            ],
            footer=_made_by(record),
        )
    )


def lead(record: FitRecord) -> Html:
    """Say which law was fitted to what, for which objective."""
    aim = metric_named(record.objective.metric).title if record.aim is None else record.aim.title
    return joined(
        [
            term("mixing law", "Law"),
            " ",
            element("b", record.law),
            f", fitted to {record.cost.runs} ",
            term("proxy run", "proxy runs"),
            ". ",
            term("objective", "Objective"),
            f": {_over(record)} of the {aim}",
            ", more is better." if more_is_better(record) else ".",
        ]
    )


def _over(record: FitRecord) -> str:
    """What the objective is a mean of, counting only what has a weight."""
    if record.aim is not None:
        families = len(record.objective.families)
        return (
            f"mean over {families} families, a {record.aim.over}" if families else record.aim.over
        )
    weights = record.objective.weights
    if weights is None:
        return f"mean over {len(record.validation)} validation domains"
    counted = [name for name in record.validation if weights.get(name, 0) > 0]
    if len(counted) == 1:
        return f"{counted[0]} alone"
    equal = len({weights[name] for name in counted}) == 1
    return f"{'' if equal else 'weighted '}mean over {len(counted)} validation domains"


def _made_by(record: FitRecord) -> str:
    version = record.versions.get("mixscale", "")
    return f"mixscale {version}, fit {record.fit_id}. The numbers are in fit.json beside this page."
