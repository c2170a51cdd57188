"""What counts as one scale, and as one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.contracts.fit_record import read_fit
from mixscale.fit.fit_tables import fit_tables
from mixscale.fit.inputs.mixture_table import mixtures_of
from mixscale.fit.inputs.scales import cluster_scales, mixture_names, training_runs
from mixscale.fit.inputs.tables import join, read_table
from tests.fit.simulated import losses_of, mixtures, write_tables


def test_counts_that_differ_by_little_are_one_scale() -> None:
    tokens = np.array([1.0005e9, 0.9996e9, 1e9, 1e9, 2.01e9, 1.99e9, 2e9])
    found = cluster_scales(tokens)
    assert found.tolist() == [1e9] * 4 + [2e9] * 3
    # No chain of small steps makes one scale of counts that are far apart.
    chain = 1e9 * 1.03 ** np.arange(40)
    assert len(np.unique(cluster_scales(chain))) > 10


def test_a_design_around_a_base_keeps_the_scale_of_its_base(tmp_path: Path) -> None:
    base = np.full(4, 250e6)
    rows = [base] + [
        np.where(np.arange(4) == i, base * f, base) for i in range(4) for f in (3, 1 / 3)
    ]
    tokens = np.array(rows)
    tokens *= np.random.default_rng(0).uniform(0.9995, 1.0005, (len(rows), 1))
    totals = tokens.sum(1)
    shares = tokens / totals[:, None]
    left, right = write_tables(tmp_path, shares, totals, losses_of(shares, totals))
    runs, _ = join(mixtures_of(read_table(left), "m"), read_table(right), "l")
    assert len(runs.scales) == 1
    assert sorted(set(runs.changed)) == ["", "books", "code", "web", "wikipedia"]


def test_field_table_with_jitter_has_one_scale(shared: Path, tmp_path: Path) -> None:
    case = shared / "trials" / "fit" / "tokens_jitter"
    folder = fit_tables(case / "m.csv", case / "l.csv", bootstrap=0, out=tmp_path)
    record = read_fit(folder)
    assert [scale.runs for scale in record.scales] == [32]
    scores = {score.law: score.held_out for score in record.laws}
    # As exact as on the same runs with equal counts; scale by scale it was 0.014.
    assert (scores["loglinear"] or 1) < 0.003


def checkpoints(folder: Path, named: bool) -> tuple[Path, Path]:
    shares = np.repeat(mixtures(12), 3, 0)
    tokens = np.tile([1e9, 2e9, 4e9], 12)
    # Checkpoints of a run share its noise.
    shared = np.repeat(np.random.default_rng(3).normal(size=12), 3)[:, None] * 0.01
    losses = losses_of(shares, tokens, noise=0.0) + shared
    runs = [f"run-{i // 3}" for i in range(36)]
    return write_tables(folder, shares, tokens, losses, names=runs if named else None)


def test_checkpoints_of_one_run_are_read_as_one_run(tmp_path: Path) -> None:
    left, right = checkpoints(tmp_path, named=True)
    runs, reading = join(mixtures_of(read_table(left), "m"), read_table(right), "l")
    assert len(runs) == 36
    assert reading.key == "run_id"
    assert len(set(runs.training_runs)) == 12
    assert runs.independent.tolist() == [i // 3 for i in range(36)]
    assert len(runs.scales) == 3


def test_the_last_checkpoint_of_a_run_counts_once(tmp_path: Path) -> None:
    shares, tokens = np.repeat(mixtures(8), 2, 0), np.tile([2e10 - 2e6, 2e10], 8)
    names = [f"run-{i // 2}" for i in range(16)]
    losses = losses_of(shares, tokens, noise=0.0)
    left, right = write_tables(tmp_path, shares, tokens, losses, names=names)
    runs, reading = join(mixtures_of(read_table(left), "m"), read_table(right), "l")
    assert len(runs) == 8
    np.testing.assert_allclose(runs.tokens.sum(1), 2e10, rtol=1e-9)
    assert len(reading.left_out) == 8
    assert all("earlier checkpoint" in reason for reason in reading.left_out.values())


def test_shares_that_round_apart_are_one_mixture() -> None:
    # As shares, and as what tokens over their sum make of them: 0.14865 rounds up or down.
    shares = np.array([[0.14865, 0.22285, 0.6285], [0.5, 0.25, 0.25]])
    tokens = np.concatenate([shares * total for total in np.linspace(2e9, 2e10, 23)])
    tokens[0] += np.array([40_000.0, -40_000.0, 0.0])
    names = mixture_names(tokens / tokens.sum(1, keepdims=True))
    assert len(set(names)) == 2
    assert names[::2] == (names[0],) * 23
    apart = shares[:1] + np.array([[0.0, 0, 0], [1e-4, -1e-4, 0]])
    assert len(set(mixture_names(apart))) == 2


@pytest.mark.parametrize("name", ["mix-{mixture}", "mix-{mixture} of run {run}"])
def test_what_was_read_of_one_plan_is_one_mixture(tmp_path: Path, name: str) -> None:
    # Tokens that were read, whole samples of 2,048, come only near to the shares of the plan.
    shares, tokens = np.repeat(mixtures(8), 3, 0), np.tile([1e6, 4e6, 16e6], 8)
    read = np.round(shares * tokens[:, None] / 2048) * 2048
    names = [name.format(mixture=i // 3, run=i) for i in range(24)]
    left, right = write_tables(
        tmp_path,
        read / read.sum(1, keepdims=True),
        read.sum(1),
        losses_of(shares, tokens),
        names=names,
    )
    runs, _ = join(mixtures_of(read_table(left), "m"), read_table(right), "l")
    assert len(set(runs.mixtures)) == 8


@given(seed=st.integers(0, 10**6), domains=st.integers(3, 12), count=st.integers(6, 40))
def test_designs_that_share_no_mixture_have_no_twins(seed: int, domains: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(domains), 2 * count)
    kinds = np.repeat([0, 1], count)
    assert len(set(mixture_names(shares, kinds=kinds))) == 2 * count
    # The second design once more, as 5,000 whole samples make it.
    again = np.vstack([shares, np.round(shares[count:] * 5000) / 5000])
    names = np.array(mixture_names(again, kinds=np.repeat([0, 1, 2], count)))
    assert (names[count : 2 * count] == names[2 * count :]).mean() >= 0.8
    assert not set(names[:count]) & set(names[count:])


def test_seeds_are_runs_of_their_own() -> None:
    same = ["a"] * 4
    scale = np.array([1.0, 1.0, 2.0, 2.0])
    assert len(set(training_runs(None, same, scale, (1, 2, 1, 2), None))) == 2
    # Without names or seeds the first of each scale are taken for one run.
    assert len(set(training_runs(None, same, scale, (), None))) == 2
    assert len(set(training_runs(["p", "q", "r", "s"], same, scale, (), None))) == 4
