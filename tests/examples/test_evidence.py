"""The reading of the evidence's records; the records themselves take hours to make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.evidence.experiments import recipe_names, recipes
from examples.evidence.pages import put
from examples.evidence.payoff import _saved
from examples.evidence.results import COMMAND, PAGE, TABLES
from examples.evidence.scale_dependence import _between, _deals


def test_every_table_has_its_place_in_the_page() -> None:
    page = PAGE.read_text()
    for name in TABLES:
        assert put(page, name, "| a |", COMMAND) != page


def test_a_table_replaces_the_one_before() -> None:
    page = PAGE.read_text()
    once = put(page, "payoff", "| first |", COMMAND)
    assert "| first |" in once
    assert "| first |" not in put(once, "payoff", "| second |", COMMAND)


def test_a_name_without_marks_is_refused() -> None:
    with pytest.raises(KeyError, match="nothing"):
        put("a page", "nothing", "", COMMAND)


@pytest.mark.parametrize(
    ("goal", "expected"),
    [(3.0, 0.5), (2.5, 0.25), (1.0, 0.0), (2.0, 0.0)],
)
def test_tokens_left_when_a_curve_reaches_the_goal(goal: float, expected: float) -> None:
    tokens, losses = [100, 200, 300, 400], [5.0, 3.0, 2.5, 2.0]
    assert _saved(tokens, losses, goal) == pytest.approx(expected)


def test_deals_keep_each_scale_once_in_each_seed() -> None:
    deals = list(_deals(3, 3))
    assert len(deals) == 36
    for deal in deals:
        assert [sorted(deal[i : i + 3]) for i in (0, 3, 6)] == [[0, 1, 2]] * 3


def test_groups_far_apart_have_the_largest_ratio() -> None:
    optima = np.array([[0.0], [1.0], [2.0]] * 3) + np.linspace(0, 0.01, 9)[:, None]
    labels = np.tile(np.arange(3), 3)
    values = [_between(optima, np.array(deal)) for deal in _deals(3, 3)]
    assert _between(optima, labels) == max(values)


def test_recipes_are_experiments_that_differ_in_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples.evidence import experiments
    from mixscale.contracts.experiment import read_experiment

    monkeypatch.setattr(experiments, "EXPERIMENTS", tmp_path)
    read = [read_experiment(path) for path in recipes()]
    assert [experiment.name for experiment in read] == recipe_names()
    assert len({experiment.model_dump_json(exclude={"name"}) for experiment in read}) == len(read)
