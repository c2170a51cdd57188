"""Advice stays between the runs, or about as near to them as they are to each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixscale as ms
from benchmarks.recovery import swarm_runs
from mixscale.fit.constraints.near_runs import NearRuns

NAMES = ("a", "b", "c", "d", "e", "f")


def near(count: int, seed: int) -> NearRuns:
    shares = np.random.default_rng(seed).dirichlet(np.full(len(NAMES), 4.0), count)
    found = NearRuns.of(swarm_runs(NAMES, shares, np.ones((count, len(NAMES)))), 1.25)
    assert found is not None
    return found


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), count=st.integers(5, 40))
def test_runs_and_mixtures_between_them_are_near(seed: int, count: int) -> None:
    runs = near(count, seed)
    weights = np.random.default_rng(seed).dirichlet(np.full(count, 0.3), 4)
    for shares in (*runs.mixtures[:4], *(weights @ runs.mixtures)):
        assert runs.holds(shares)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), corner=st.integers(0, 5), start=st.integers(0, 11))
def test_a_way_to_a_corner_ends_near_the_runs(seed: int, corner: int, start: int) -> None:
    runs = near(12, seed)
    end, begin = np.eye(6)[corner], runs.mixtures[start]
    part = runs.part_of_way(begin, end)
    assert not runs.holds(end)
    assert 0 <= part < 1
    assert runs.holds(begin + part * (end - begin))
    assert not runs.holds(begin + (part + 0.05) * (end - begin))


def test_a_dense_line_of_runs_reaches_a_quarter_beyond_its_ends() -> None:
    # Runs so close to each other that their distances alone would allow next to nothing.
    wiki = np.linspace(0.02, 0.3, 40)
    shares = np.column_stack([0.7 - wiki, 0.3 * np.ones(40), wiki])
    runs = NearRuns.of(swarm_runs(NAMES[:3], shares, np.ones((40, 3))), 1.25)
    assert runs is not None
    assert runs.holds(np.array([0.367, 0.3, 0.333]))
    assert not runs.holds(np.array([0.3, 0.3, 0.4]))


def test_from_far_away_it_goes_no_farther() -> None:
    runs = near(12, 1)
    start = np.full(6, 0.02)
    start[2] = 0.9
    middle = runs.mixtures.mean(0)
    assert runs.part_of_way(start, middle) == 1
    far = np.eye(6)[2]
    assert runs.distance(far) > runs.distance(start)
    assert runs.part_of_way(start, far) == 0


def test_few_mixtures_and_runs_around_a_base_set_no_limit() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(6), 3)
    assert NearRuns.of(swarm_runs(NAMES, shares, np.ones((3, 6))), 1.25) is None
    shares = np.random.default_rng(0).dirichlet(np.ones(6), 13)
    around = replace(swarm_runs(NAMES, shares, np.ones((13, 6))), changed=("", *NAMES, *NAMES))
    assert NearRuns.of(around, 1.25) is None


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text of the web does all for the loss; runs have a third of it or more."""
    rng = np.random.default_rng(3)
    prior = np.array([0.6, 0.1, 0.1, 0.1, 0.1])
    shares = rng.dirichlet(30 * prior, 24)
    slopes = np.array([0.0, -1.0, -0.9, -0.8, -0.7])
    losses = 3 + shares @ slopes + rng.normal(0, 0.01, 24)
    lines = [",".join(["web", "code", "wiki", "books", "arxiv", "loss"])]
    lines += [
        ",".join(f"{x:.6f}" for x in (*row, y)) for row, y in zip(shares, losses, strict=True)
    ]
    path = tmp_path_factory.mktemp("near") / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


CURRENT = {"web": 0.6, "code": 0.1, "wiki": 0.1, "books": 0.1, "arxiv": 0.1}


def test_a_step_ends_near_the_runs_and_says_so(table: Path) -> None:
    held = ms.fit_tables(table, law="joint", bootstrap=50, current=CURRENT)
    assert held.recommendation.action == "change"
    said = [text for text in held.record.warnings if "as far from the runs as they lie" in text]
    assert len(said) == 1
    assert "--max-extrapolation" in said[0]
    limited = [c for c in held.record.cautions or () if "so the step ends after" in c.says]
    assert [c.costs for c in limited] == ["decision"]
    # Each domain alone keeps to 1.25 times its largest share; all at once they would be far away.
    freed = ms.fit_tables(
        table,
        law="joint",
        bootstrap=50,
        current=CURRENT,
        constraints={"max_extrapolation": 100, "ceiling": advised_ceiling(held)},
    )
    assert freed.recommendation.gain is not None
    assert held.recommendation.gain is not None
    assert held.recommendation.gain < freed.recommendation.gain
    assert not any("from the runs as they lie" in text for text in freed.record.warnings)


def advised_ceiling(fit: ms.Fit) -> dict[str, float]:
    """The same limits for each domain alone."""
    return {domain: most for domain, (_, most) in fit.record.covered.items()}
