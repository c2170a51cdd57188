"""The best mixture is looked for where runs have been."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixscale as ms
from mixscale.contracts.experiment import Constraints, GroupBound
from mixscale.contracts.fit_record import read_fit
from mixscale.fit.constraints.bounds import feasible_set
from mixscale.fit.constraints.covered import BEYOND_RUNS
from mixscale.fit.fit_experiment import fit_experiment

DOMAINS = ("web", "code", "wiki")
COVERED = {"web": (0.3, 0.8), "code": (0.1, 0.5), "wiki": (0.05, 0.2)}


def test_bounds_are_those_of_the_runs_and_named_so() -> None:
    feasible = feasible_set(Constraints(), DOMAINS, covered=COVERED)
    np.testing.assert_allclose(feasible.low, [0.3, 0.1, 0.05])
    np.testing.assert_allclose(feasible.high, [0.8, 0.5, 0.2])
    assert feasible.binding(np.array([0.5, 0.3, 0.2])) == {"wiki": BEYOND_RUNS}


def test_what_the_user_asks_of_a_domain_goes_before() -> None:
    asked = Constraints(floor={"wiki": 0.3}, ceiling={"code": 0.05}, fixed={"web": 0.65})
    feasible = feasible_set(asked, DOMAINS, covered=COVERED)
    assert feasible.low[2] == 0.3
    assert feasible.high[1] == 0.05
    assert feasible.low[0] == feasible.high[0] == 0.65


def test_constraints_that_allow_nothing_there_lift_the_limit() -> None:
    group = GroupBound(domains=("wiki", "code"), floor=0.75)
    feasible = feasible_set(Constraints(groups={"rare": group}), DOMAINS, covered=COVERED)
    assert feasible.high[2] == 1.0


def _table(folder: Path, wiki_up_to: float, effect: float, seed: int = 0) -> Path:
    """Runs whose loss falls with the share of wiki, and a little with that of code."""
    rng = np.random.default_rng(seed)
    rows = ["web,code,wiki,loss"]
    for wiki in np.linspace(0.02, wiki_up_to, 16):
        code = rng.uniform(0.1, 0.5)
        loss = 3 - effect * math.sqrt(wiki) - effect / 8 * math.sqrt(code) + rng.normal(0, 0.002)
        rows.append(f"{1 - wiki - code:.5f},{code:.5f},{wiki:.5f},{loss:.5f}")
    path = folder / "runs.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@settings(max_examples=2)
@given(wiki_up_to=st.floats(0.1, 0.4), seed=st.integers(0, 1000))
def test_no_domain_gets_more_than_runs_tell_about(
    tmp_path_factory: pytest.TempPathFactory, wiki_up_to: float, seed: int
) -> None:
    table = _table(tmp_path_factory.mktemp("t"), wiki_up_to, 0.4, seed)
    found = ms.fit_tables(table, law="joint", bootstrap=50)
    best = found.record.mixtures[-1]
    # Uniform, the mixture in use, lies at a third: it may be kept.
    most = max(1.25 * wiki_up_to, 1 / 3)
    assert best.proportions["wiki"] <= most + 1e-4
    assert best.recommended is not None
    assert best.recommended["wiki"] <= most + 1e-4


def test_the_limit_is_said_and_can_be_lifted(tmp_path: Path) -> None:
    table = _table(tmp_path, 0.3, 0.4)
    current = {"web": 0.6, "code": 0.3, "wiki": 0.1}
    held = ms.fit_tables(table, law="joint", bootstrap=50, current=current)
    best = held.record.mixtures[-1]
    assert best.proportions["wiki"] == pytest.approx(0.375, abs=1e-4)
    assert best.binding["wiki"] == BEYOND_RUNS
    said = [text for text in held.record.warnings if "wiki (2.0% to 30.0% in the runs" in text]
    assert len(said) == 1
    more = [c for c in held.record.cautions or () if "has more of wiki than any run" in c.says]
    assert [c.costs for c in more] == ["decision"]
    assert held.record.covered["wiki"] == pytest.approx((0.016, 0.375), abs=1e-4)
    freed = ms.fit_tables(
        table,
        law="joint",
        bootstrap=50,
        current=current,
        constraints={"max_extrapolation": 100},
    )
    assert freed.record.mixtures[-1].proportions["wiki"] > 0.6
    assert not any("than any run" in c.says for c in freed.record.cautions or ())


def test_the_mixture_in_use_can_be_kept_wherever_it_lies(tmp_path: Path) -> None:
    table = _table(tmp_path, 0.3, 0.0)
    current = {"web": 0.05, "code": 0.05, "wiki": 0.9}
    found = ms.fit_tables(table, law="joint", bootstrap=50, current=current)
    assert found.recommendation.action == "keep what you have"
    assert found.record.mixtures[-1].recommended == pytest.approx(current, abs=1e-9)


def test_runs_around_a_base_limit_what_a_domain_gets(
    tmp_path: Path, write_ddo_sweep: Callable[..., Path]
) -> None:
    """With a third of each domain at a time, none has more than 3/7 of a run."""

    def truth(tokens: np.ndarray) -> np.ndarray:
        own = np.array([4.0, 0.0, 0.2]) * (tokens / 1e6 + 0.3) ** -0.3
        return 3.0 + own

    experiment = write_ddo_sweep(tmp_path, truth, skip=lambda run_id: "increased" in run_id)
    limited = read_fit(fit_experiment(experiment, law="ddo", bootstrap=50))
    for mixture in limited.mixtures:
        assert mixture.proportions["web"] == pytest.approx(1.25 * 3 / 7, abs=1e-3)
        assert mixture.binding["web"] == BEYOND_RUNS
        assert mixture.proportions["code"] == pytest.approx(0.01)
    with experiment.open("a", encoding="utf-8") as stream:
        stream.write("constraints: {max_extrapolation: 100}\n")
    freed = read_fit(fit_experiment(experiment, law="ddo", bootstrap=50))
    assert freed.mixtures[0].proportions["web"] > 0.7
