"""The registry of mixing laws."""

from __future__ import annotations

import importlib

from contracts.errors import unknown_name
from fit.law import Law

LAWS = {
    "ddo": "fit.laws.ddo",
    "joint": "fit.laws.joint",
    "loglinear": "fit.laws.loglinear",
    "regmix": "fit.laws.regmix",
    "bimix": "fit.laws.bimix",
    "linear": "fit.laws.linear",
    "quadratic": "fit.laws.quadratic",
}
"""Module of each law; it defines `LAW`. A new law is one file with one line here."""


def law_named(name: str) -> Law:
    """Load a law.

    Raises:
        UserError: There is none of that name.
    """
    if name not in LAWS:
        raise unknown_name("law", name, [*LAWS, "auto"])
    return importlib.import_module(LAWS[name]).LAW
