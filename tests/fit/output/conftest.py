"""One fit of each kind, for everything that shows fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixscale.fit.arrays import Floats
from mixscale.fit.fit_experiment import fit_experiment


def losses(tokens: Floats) -> Floats:
    """(validation,) losses that web, code and books lower by different amounts."""
    return 2.5 + np.array([4.0, 1.0, 0.3]) * (tokens / 1e6 + 0.05 * tokens.sum() / 1e6) ** -0.25


@pytest.fixture(scope="package")
def clear(tmp_path_factory: pytest.TempPathFactory, write_ddo_sweep: Callable) -> Path:
    """Two scales, three seeds, next to no noise: a change is advised."""
    folder = tmp_path_factory.mktemp("clear")
    experiment = write_ddo_sweep(folder, losses, noise=0.0005, settings={"targets": "[16M, 64M]"})
    return fit_experiment(experiment, law="joint", bootstrap=40)


@pytest.fixture(scope="package")
def unsure(tmp_path_factory: pytest.TempPathFactory, write_ddo_sweep: Callable) -> Path:
    """The same with much noise and two runs missing: nothing is advised."""
    folder = tmp_path_factory.mktemp("unsure")
    experiment = write_ddo_sweep(
        folder,
        losses,
        seeds=(1, 2),
        noise=0.2,
        skip=lambda run: run.startswith("increased-code-4000000"),
    )
    return fit_experiment(experiment, law="joint", bootstrap=40)
