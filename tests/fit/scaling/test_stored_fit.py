"""A stored fit answers a new token budget as a fresh fit would that was asked for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixscale.contracts.experiment import Experiment, read_experiment
from mixscale.contracts.fit_record import FitRecord
from mixscale.fit.arrays import Floats
from mixscale.fit.fit_experiment import fit_gathered
from mixscale.fit.inputs.records import Gathered, gather
from mixscale.fit.scaling.stored_fit import mixture_at

STORED = (16_000_000, 256_000_000)


def unequal_domains(tokens: Floats) -> Floats:
    """Losses whose best mixture moves with the budget: the domains level off at other tokens."""
    x = tokens / 1e6
    own = 2.0 + np.array([1.2, 0.8, 0.6]) * (x + np.array([0.05, 0.4, 1.5])) ** -0.35
    return own - 0.03 * np.log1p(x.sum())


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Gathered]:
    # The function-scoped fixture that writes sweeps is a plain function.
    from tests.fit.conftest import _write_ddo_sweep

    folder = tmp_path_factory.mktemp("sweep")
    experiment = read_experiment(_write_ddo_sweep(folder, unequal_domains, available=40_000_000))
    return experiment, gather(Path(str(experiment.out)), experiment.name)


def fitted(
    asked: tuple[Experiment, Gathered], law: str, targets: tuple[int, ...], max_epochs: float
) -> FitRecord:
    experiment, gathered = asked
    constraints = experiment.constraints.model_copy(update={"max_epochs": max_epochs})
    changed = experiment.model_copy(update={"targets": targets, "constraints": constraints})
    return fit_gathered(changed, gathered, law=law, bootstrap=30, seed=3)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    law=st.sampled_from(["ddo", "joint", "bimix", "loglinear"]),
    # From below the smallest scale to beyond the stored budgets, the scales themselves left out.
    budget=st.integers(5, 4000).map(lambda hundreds: hundreds * 100_000 + 777),
    max_epochs=st.sampled_from([6.0, 30.0]),
)
def test_a_stored_fit_and_a_fresh_one_give_the_same_mixture(
    asked: tuple[Experiment, Gathered], law: str, budget: int, max_epochs: float
) -> None:
    # 256M tokens are more than six epochs of what there is.
    targets = STORED[:1] if max_epochs < 7 else STORED
    stored = mixture_at(fitted(asked, law, targets, max_epochs), budget)
    (fresh,) = [
        mixture
        for mixture in fitted(asked, law, (budget,), max_epochs).mixtures
        if mixture.token_budget == budget
    ]
    assert stored.kind == fresh.kind == "projected"
    assert stored.proportions == pytest.approx(fresh.proportions, abs=2e-5)
    assert stored.predicted_by == fresh.predicted_by
    assert stored.predicted_objective == pytest.approx(fresh.predicted_objective, abs=1e-6)
    assert stored.binding == fresh.binding
    # A record does not hold the draws: the mean of the redrawn optima is interpolated, and the
    # decision is that of the nearest budget which has one.
    assert stored.decision is not None
    assert fresh.decision is not None
    if stored.decision.action == fresh.decision.action:
        assert stored.recommended == pytest.approx(fresh.recommended, abs=0.03)
