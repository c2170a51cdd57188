"""One fit of each kind, for everything that shows fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mixscale.fit.fit_experiment import fit_experiment
from tests.fit.simulated import losses_of_three as losses


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
