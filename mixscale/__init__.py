"""Find the domain mixture of a large pre-training run from small proxy runs.

`import mixscale as ms` gives the functions of a notebook; each is imported when it is first used:
docs/api.md shows all of them.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixscale.api.comparison import compare as compare
    from mixscale.api.evaluation import evaluate as evaluate
    from mixscale.api.fits import Fit as Fit
    from mixscale.api.fits import apply as apply
    from mixscale.api.fits import fit as fit
    from mixscale.api.fits import fit_tables as fit_tables
    from mixscale.api.fits import load_fit as load_fit
    from mixscale.api.reports import report as report
    from mixscale.api.rows import Rows as Rows
    from mixscale.api.runs import plan as plan
    from mixscale.api.runs import sweep as sweep
    from mixscale.api.shardsets import BuiltShardSet as BuiltShardSet
    from mixscale.api.shardsets import build as build
    from mixscale.api.shardsets import query as query
    from mixscale.contracts.errors import UserError as UserError

    __version__: str

__all__ = [
    "BuiltShardSet",
    "Fit",
    "Rows",
    "UserError",
    "__version__",
    "apply",
    "build",
    "compare",
    "evaluate",
    "fit",
    "fit_tables",
    "load_fit",
    "plan",
    "query",
    "report",
    "sweep",
]

_HOMES = {
    "BuiltShardSet": "mixscale.api.shardsets",
    "Fit": "mixscale.api.fits",
    "Rows": "mixscale.api.rows",
    "UserError": "mixscale.contracts.errors",
    "apply": "mixscale.api.fits",
    "build": "mixscale.api.shardsets",
    "compare": "mixscale.api.comparison",
    "evaluate": "mixscale.api.evaluation",
    "fit_tables": "mixscale.api.fits",
    "load_fit": "mixscale.api.fits",
    "plan": "mixscale.api.runs",
    "query": "mixscale.api.shardsets",
    "report": "mixscale.api.reports",
    "sweep": "mixscale.api.runs",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562), so that `import mixscale` stays light."""
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("mixscale")
    if name == "fit":
        return importlib.import_module("mixscale.fit")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _FitPackage(ModuleType):
    """The package `mixscale.fit`, which can be called as the function of that name."""

    def __call__(
        self, experiment: Any, *, law: str = "auto", bootstrap: int = 1000, seed: int | None = None
    ) -> Any:
        """Fit a mixing law to the runs of an experiment; see `mixscale.api.fits.fit`."""
        from mixscale.api.fits import fit

        return fit(experiment, law=law, bootstrap=bootstrap, seed=seed)


class _Package(ModuleType):
    """This package: `fit` is the name of a function and of a folder in it, and must be both."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds a submodule to its name here when any part of it is imported.
        if name == "fit" and isinstance(value, ModuleType):
            value.__class__ = _FitPackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
