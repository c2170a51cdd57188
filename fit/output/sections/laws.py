"""How well the laws predict what they have not seen."""

from __future__ import annotations

from mixscale.contracts.fit_record import FitRecord
from mixscale.fit.output.units import unit_of
from mixscale.pages.bars import Bar, Kind, bars, legend
from mixscale.pages.elements import Html, element
from mixscale.pages.frame import paragraph, section
from mixscale.pages.glossary import term
from mixscale.pages.rounding import number
from mixscale.pages.tables import cell, small, table


def laws(record: FitRecord) -> Html | None:
    """Compare the laws' errors, the one that was taken marked."""
    title = "How well the laws predict"
    scored = [score for score in record.laws if score.held_out is not None]
    if not scored:
        text = (
            f"Law {record.law} was asked for, so it was not compared with others; --law auto does."
        )
        return section(title, paragraph(text, class_="note"))
    further = [s for s in (any(x.next_scale for x in scored), any(x.next_size for x in scored))]
    most = max(max(s.held_out or 0, s.next_scale or 0, s.next_size or 0) for s in scored)
    unit = unit_of(record)
    heads: list[object] = [term("mixing law", "law"), ""]
    heads += [element("span", term("left-out error"), f", {unit}" if unit else "")]
    heads += ["next scale"] if further[0] else []
    heads += ["next size"] if further[1] else []
    rows = []
    for score in scored:
        drawn = [Bar(value=score.held_out or 0.0)]
        drawn += [Bar(value=score.next_scale or 0.0, kind="third")] if further[0] else []
        drawn += [Bar(value=score.next_size or 0.0, kind="fourth")] if further[1] else []
        name = element("b", score.law, " (taken)") if score.law == record.law else score.law
        row: list[object] = [name, cell(bars(drawn, most), class_="bars")]
        row.append(_with_error(score.held_out, score.held_out_error))
        row += [_with_error(score.next_scale, score.next_scale_error)] if further[0] else []
        row += [_with_error(score.next_size, score.next_size_error)] if further[1] else []
        rows.append(row)
    keys: list[tuple[Kind, str]] = [("advised", "left-out mixtures")]
    if further[0]:
        keys.append(("third", "largest scale, from the smaller"))
    if further[1]:
        keys.append(("fourth", "largest model, from the smaller"))
    return section(
        title,
        legend(keys) if len(keys) > 1 else None,
        table("Mean absolute errors of the objective", heads, rows),
        paragraph(
            "Mean absolute errors of the objective on what the law had not seen, with standard "
            "errors. Of laws within one standard error of the best, the one is taken that reaches "
            "other token budgets.",
            class_="note screen-only",
        ),
    )


def _with_error(value: float | None, error: float | None) -> Html | str:
    if value is None:
        return "-"
    if error is None:
        return number(value)
    around = (value - error, value + error)
    return element("span", number(value, around), small(f"± {number(error, around)}"))
