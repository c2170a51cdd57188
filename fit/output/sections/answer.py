"""The answer at the top of a fit's page, and what would make it surer at its end."""

from __future__ import annotations

from pathlib import Path

from mixscale.contracts.fit_record import FitRecord
from mixscale.fit.output.advised import Advised, advised, all_advised
from mixscale.fit.output.next_steps import NextStep, apply_step, surer_steps
from mixscale.fit.output.verdict import verdict
from mixscale.pages.elements import Html, element, joined, listed
from mixscale.pages.frame import paragraph, section

_MOST_CAUTIONS = 6


def answer(record: FitRecord, folder: Path | None) -> Html:
    """Say what to do for each run that was asked for, and what that rests on.

    Args:
        record: The fit.
        folder: Where it lies, for the command to copy.
    """
    main = advised(record)
    others = [one for one in all_advised(record) if one.mixture is not main.mixture]
    said = verdict(record, main)
    step = apply_step(record, folder)
    block = element(
        "div",
        paragraph(element("strong", said.what), class_="headline"),
        paragraph(said.gain),
        paragraph(said.rests_on, class_="note"),
        class_=_class(main),
    )
    command = None
    if step is not None and step.command is not None:
        command = joined(
            [
                paragraph("To write it into the settings of the run:"),
                element("pre", element("code", step.command)),
            ]
        )
    return joined([block, *(_short(record, other) for other in others), command])


def surer(record: FitRecord) -> Html | None:
    """List what would make the answer surer or carry it further, the cheapest first."""
    return section(
        "What would make it surer",
        listed(_step(step) for step in surer_steps(record)),
        _cautions(record),
    )


def _short(record: FitRecord, other: Advised) -> Html:
    said = verdict(record, other)
    return element(
        "div",
        paragraph(element("strong", said.what), " ", said.gain),
        class_=_class(other),
    )


def _class(found: Advised) -> str:
    return "verdict" if found.said.action == "change" else "verdict keep"


def _step(step: NextStep) -> Html:
    cost = f" Cost: {step.cost}." if step.cost else ""
    return joined([element("b", _started(step.do)), f", so that {step.so_that}.", cost])


def _cautions(record: FitRecord) -> Html | None:
    found = (record.cautions or ())[:_MOST_CAUTIONS]
    if not found:
        return None
    items = [
        joined([_started(caution.says), ". ", _started(caution.remedy), "."]) for caution in found
    ]
    return joined([element("h3", "What it is limited by"), listed(items)])


def _started(clause: str) -> Html:
    """A clause as the start of a sentence, with its commands set as code."""
    parts = (clause[0].upper() + clause[1:]).split("`")
    return joined(element("code", part) if i % 2 else part for i, part in enumerate(parts))
