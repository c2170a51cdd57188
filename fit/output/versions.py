"""Versions of what a fit's numbers depend on."""

from __future__ import annotations

import importlib.metadata


def versions() -> dict[str, str]:
    """Versions by package; `source` for a package that runs from its checkout."""
    found = {}
    for package in ("mixscale", "numpy", "scipy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "source"
    return found
