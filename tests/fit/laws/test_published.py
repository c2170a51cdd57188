"""Laws against published tables: Data Mixing Laws and RegMix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from mixscale.contracts.experiment import Objective
from mixscale.fit.arrays import Floats
from mixscale.fit.inputs.mixture_table import mixtures_of
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.runs import Runs
from mixscale.fit.inputs.tables import join, read_table
from mixscale.fit.laws.registry import law_named
from mixscale.fit.laws.selection import held_out_losses
from mixscale.fit.uncertainty.noise import UNKNOWN_NOISE


@pytest.fixture(scope="module")
def redpajama(tables: Path, rows: Callable) -> Callable[[str], Runs]:
    """Runs of the RedPajama table of one model size at step 30000."""

    def make(size: str) -> Runs:
        long = rows(tables / f"mixinglaws_redpajama_{size}.csv")
        long = [row for row in long if row["step"] == "30000"]
        domains = [name for name in long[0] if name.startswith("w_")]
        validation = sorted({row["valid_domain"] for row in long})
        runs = list(dict.fromkeys(row["run_index"] for row in long))
        shares, losses = np.zeros((len(runs), 7)), np.full((len(runs), len(validation)), np.nan)
        for row in long:
            i = runs.index(row["run_index"])
            shares[i] = [float(row[name]) for name in domains]
            losses[i, validation.index(row["valid_domain"])] = float(row["loss"])
        return Runs(
            domains=tuple(name[2:] for name in domains),
            validation=tuple(validation),
            tokens=shares / shares.sum(1, keepdims=True),
            losses=losses,
            errors=None,
            scale=np.ones(len(runs)),
            changed=("*",) * len(runs),
            labels=tuple(runs),
        )

    return make


def left_out_error(runs: Runs, law: str) -> float:
    objective = objective_function(Objective(), runs.validation)
    predicted = held_out_losses(law_named(law), runs, objective, UNKNOWN_NOISE)
    assert np.isfinite(predicted).all()
    return float(np.abs(predicted - runs.losses).mean())


def test_mixing_laws_left_out_mixtures(redpajama: Callable[[str], Runs]) -> None:
    # All 42 mixtures and all 22 validation domains, the odd runs 998 and 999 and Ubuntu_IRC among
    # them: 0.033 for a linear law, 0.029 for a plain exponential one. Measured here: joint 0.0172.
    runs = redpajama("70M")
    assert len(runs) == 42
    assert left_out_error(runs, "linear") == pytest.approx(0.0331, abs=2e-4)
    assert left_out_error(runs, "loglinear") < 0.029
    assert left_out_error(runs, "joint") < 0.0185


def rank_correlation(predicted: Floats, measured: Floats) -> float:
    return float(np.asarray(spearmanr(predicted, measured))[0])


@pytest.mark.parametrize(("size", "least"), [("70M", 0.85), ("160M", 0.93)])
def test_ranking_survives_a_larger_model(
    redpajama: Callable[[str], Runs], tables: Path, rows: Callable, size: str, least: float
) -> None:
    # Ranks of the 20 mixtures of the 305M table by the published overall loss, from a law of
    # smaller models. The 70M runs of the same mixtures, as measured, correlate at 0.848, the 160M
    # ones at 0.964: a law cannot be asked for much more.
    small, large = redpajama(size), redpajama("305M")
    published = rows(tables / "mixinglaws_valid_weights.csv")
    weights = {row["valid_domain"]: float(row["weight"]) for row in published}
    objective = objective_function(Objective(weights=weights), small.validation)
    law = law_named("joint").fit(small, objective, UNKNOWN_NOISE)
    predicted = law.predict_objective(large.points)
    assert rank_correlation(predicted, objective.value(large.losses)) > least


@pytest.fixture(scope="module")
def regmix(tables: Path) -> tuple[Runs, Runs]:
    """Training and test runs of the 1M-parameter models."""
    parts = []
    for part in ("train", "test"):
        mixtures = mixtures_of(read_table(tables / f"regmix_{part}_1m_mixture.csv"), "mixtures")
        losses = read_table(tables / f"regmix_{part}_1m_loss.csv")
        runs, reading = join(mixtures, losses, part)
        assert reading.left_out == {}
        assert reading.key == "index"
        parts.append(runs)
    return parts[0], parts[1]


@pytest.mark.parametrize(
    ("law", "pile_cc", "mean"),
    [
        # The published notebook stops early on the test set; neither law sees it.
        pytest.param("regmix", 0.989, 0.98),
        pytest.param("joint", 0.9905, 0.989),
    ],
)
def test_regmix_ranking(regmix: tuple[Runs, Runs], law: str, pile_cc: float, mean: float) -> None:
    train, test = regmix
    assert (len(train), len(test)) == (512, 256)
    objective = objective_function(Objective(), train.validation)
    predicted = law_named(law).fit(train, objective, UNKNOWN_NOISE).predict_losses(test.points)
    column = train.validation.index("pile_cc")
    assert rank_correlation(predicted[:, column], test.losses[:, column]) >= pile_cc
    assert rank_correlation(predicted.mean(1), test.losses.mean(1)) >= mean
