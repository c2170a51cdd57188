"""Run records in, a defended data mixture out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixscale.fit.api import fit_law as fit_law
    from mixscale.fit.apply.run_yaml import with_proportions as with_proportions
    from mixscale.fit.experiment import fit_experiment as fit_experiment

_HOMES = {
    "fit_law": "mixscale.fit.api",
    "fit_experiment": "mixscale.fit.experiment",
    "with_proportions": "mixscale.fit.apply.run_yaml",
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for, so that `import fit` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
