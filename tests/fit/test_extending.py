"""The recipe "Add a law" of docs/extending.md: a law in another package."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import invalidate_caches
from pathlib import Path

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import read_fit
from mixscale.fit.arrays import Floats
from mixscale.fit.fit_experiment import fit_experiment
from mixscale.fit.laws.registry import law_named, law_names
from mixscale.fit.scaling.stored_fit import mixture_at

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


def power_of_totals(tokens: Floats) -> Floats:
    """Losses that the recipe's law describes exactly: a power of log-weighted tokens."""
    worth = np.array([3.0, 1.0, 2.0]) @ np.sqrt(tokens / 1e6)
    return 2.0 + np.array([1.0, 0.7, 1.3]) * worth**-0.5


@pytest.fixture
def outside_law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the module of the recipe as a distribution of its own."""
    recipe = PAGE.read_text(encoding="utf-8")
    code = re.search(r"```python\n# root_tokens\.py\n(.*?)```", recipe, re.DOTALL)
    entry = re.search(r'\[project\.entry-points\."mixscale\.laws"\]\n(\w+) = "(.*)"', recipe)
    assert code is not None
    assert entry is not None
    site = tmp_path / "site"
    info = site / "root_tokens-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "root_tokens.py").write_text(code[1])
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: root-tokens\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mixscale.laws]\n{entry[1]} = {entry[2]}\n")
    monkeypatch.syspath_prepend(str(site))
    invalidate_caches()
    return entry[1]


def test_an_outside_law_predicts_is_chosen_and_appears_in_the_report(
    tmp_path: Path, write_ddo_sweep: Callable, outside_law: str
) -> None:
    assert outside_law in law_names()
    experiment = write_ddo_sweep(tmp_path, power_of_totals, noise=0.001)
    folder = fit_experiment(experiment, bootstrap=20)
    record = read_fit(folder)
    assert record.law == outside_law
    assert record.laws[0].held_out is not None
    assert record.laws[0].held_out < 0.002
    # At the optimum of sum t_j sqrt(n_j) shares are proportional to t_j squared.
    expected = np.square([3.0, 1.0, 2.0]) / 14
    for mixture in record.mixtures:
        assert list(mixture.proportions.values()) == pytest.approx(expected, abs=0.02)
    assert outside_law in (folder / "report.html").read_text(encoding="utf-8")
    # It defines no `load`, so a stored fit answers the budgets that it was asked for, and says so.
    assert mixture_at(record, 16_000_000) == record.mixtures[-2]
    with pytest.raises(UserError, match=r"cannot be rebuilt.*16000000, 256000000"):
        mixture_at(record, 5_000_000)


def test_what_is_no_law_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mixscale.laws]\nnothing = json:loads\nmissing = no_such_module:LAW\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    invalidate_caches()
    with pytest.raises(UserError, match=r"law nothing: entry point json:loads.*must be a"):
        law_named("nothing")
    with pytest.raises(UserError, match=r"law missing: .*cannot be loaded"):
        law_named("missing")
    with pytest.raises(UserError, match=r"unknown value 'linaer'.*linear"):
        law_named("linaer")
