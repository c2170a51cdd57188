"""The registry of mixing laws."""

from __future__ import annotations

import importlib

from mixscale.contracts.errors import unknown_name
from mixscale.fit.laws.base import Law

LAWS = {
    "ddo": "mixscale.fit.laws.ddo",
    "joint": "mixscale.fit.laws.joint",
    "loglinear": "mixscale.fit.laws.loglinear",
    "regmix": "mixscale.fit.laws.regmix",
    "bimix": "mixscale.fit.laws.bimix",
    "linear": "mixscale.fit.laws.linear",
    "quadratic": "mixscale.fit.laws.quadratic",
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
