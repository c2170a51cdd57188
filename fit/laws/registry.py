"""The mixing laws there are: those of this package, and those that others register."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from mixscale.contracts.errors import UserError, unknown_name
from mixscale.fit.laws.base import Law

LAWS = {
    name: f"mixscale.fit.laws.{name}"
    for name in ("ddo", "joint", "separable", "loglinear", "regmix", "bimix", "linear", "quadratic")
}
"""Module of each law of this package, which defines `LAW`: a new law is one file and one name."""
GROUP = "mixscale.laws"
"""Entry points of this group name a `Law` in another package."""
REFERENCE = "joint"
"""The law that stands in where the fitted one cannot tell: it predicts the objective at token
budgets that were not measured, gives a second opinion on a change, and what it leaves over of runs
that are not repeated counts as their noise. It must span scales and define `residuals`."""


def law_names() -> tuple[str, ...]:
    """Every law there is, those of this package first."""
    return (*LAWS, *(name for name in _outside() if name not in LAWS))


def law_named(name: str) -> Law:
    """Load a law.

    Raises:
        UserError: There is none of that name, or an entry point of that name gives no law.
    """
    if name in LAWS:
        return importlib.import_module(LAWS[name]).LAW
    outside = _outside()
    if name not in outside:
        raise unknown_name("law", name, [*law_names(), "auto"])
    try:
        law = outside[name].load()
    except Exception as error:
        raise UserError(
            f"law {name}: entry point {outside[name].value} of {GROUP} cannot be loaded: {error}"
        ) from error
    if not isinstance(law, Law) or law.name != name:
        raise UserError(
            f"law {name}: entry point {outside[name].value} of {GROUP} must be a "
            f"mixscale.fit.laws.base.Law with the name {name!r}"
        )
    return law


def reference_law() -> Law:
    """The law that stands in where the fitted one cannot tell; see `REFERENCE`."""
    return law_named(REFERENCE)


def _outside():
    return {point.name: point for point in entry_points(group=GROUP)}
