"""An accuracy is predicted by way of its task's loss where left-out mixtures say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import SHAPES, measured, truth
from mixscale.contracts.fit_record import read_fit
from mixscale.fit.fit_tables import fit_tables
from mixscale.fit.inputs.options import Options
from mixscale.fit.metrics.by_loss import fit_curve
from mixscale.fit.output.terminal import lines
from tests.fit.metrics.test_accuracy import DOMAINS, predictions, shares_of, write


def test_the_curve_is_found_where_runs_show_it() -> None:
    losses = np.linspace(0.5, 2.5, 60)
    good = 0.25 + 0.7 / (1 + np.exp(4 * (losses - 1.4)))
    found = fit_curve(losses, good, np.ones(60))
    again = found.low + (found.high - found.low) / (
        1 + np.exp(found.slope * (losses - found.middle))
    )
    np.testing.assert_allclose(again, good, atol=0.01)
    assert found.middle == pytest.approx(1.4, abs=0.05)


@pytest.mark.parametrize(("items", "useful"), [(60, True), (10**9, False)])
def test_noisy_accuracies_follow_their_loss_and_exact_ones_need_not(
    tmp_path: Path, items: int, useful: bool
) -> None:
    rng = np.random.default_rng(4)
    task = truth(rng, len(DOMAINS), **SHAPES["middle"])
    mixtures = rng.dirichlet(np.ones(len(DOMAINS)), 40)
    losses = task.loss(mixtures)
    if not useful:
        # A loss that has nothing to do with the accuracy.
        losses = rng.permutation(losses)
    columns = {
        "bpb:arc": losses.tolist(),
        "acc:arc": measured(rng, task.accuracy(mixtures), items).tolist(),
    }
    table = write(tmp_path / "runs.csv", shares_of(mixtures) | columns)
    others = rng.dirichlet(np.ones(len(DOMAINS)), 60)
    wanted = write(tmp_path / "wanted.csv", shares_of(others))
    folder = fit_tables(
        table, table, law="joint", predict=wanted, out=tmp_path / "fits", bootstrap=20,
        options=Options(objective="accuracy"),
    )  # fmt: skip
    record = read_fit(folder)
    curve = record.results["arc"].curve
    assert (curve is not None) == useful
    rows = predictions(folder)
    missed = [row["acc:arc"] - a for row, a in zip(rows, task.accuracy(others), strict=True)]
    assert np.abs(missed).mean() < 0.03
    assert all(0 <= row["acc:arc_low"] <= row["acc:arc_high"] <= 1 for row in rows)
    if curve is not None:
        assert curve.error < curve.error_without
        assert curve.loss_column == "bpb:arc"
        said = [line for line in lines(record) if line.startswith("arc: by way of bpb:arc")]
        assert len(said) == 1
