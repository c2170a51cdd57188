"""What was odd about tables, in short, with what mends it."""

from __future__ import annotations

import pytest

from mixscale.contracts.fit_record import Caution, TableReading
from mixscale.fit.inputs.idle_checkpoints import COPY, EARLIER, EARLY
from mixscale.fit.output.cautions import named, reading_cautions, worst_first


def reading(**facts: object) -> TableReading:
    plain = {"domains": ("web", "code"), "unit": "shares", "results": {}, "key": "run"}
    return TableReading.model_validate(plain | facts)


@pytest.mark.parametrize(
    ("facts", "says", "remedy"),
    [
        ({"key": None}, "rows are joined by their order", "--key"),
        ({"unmatched_rows": 3}, "3 rows of one table have no partner", "names of the runs"),
        ({"left_out": {"r1": "state failed"}}, "1 run is left out: r1", "--details"),
        (
            {"left_out": {f"r{i}": "state failed" for i in range(5)}},
            "5 runs are left out: r0, r1, r2 and 2 more",
            "--details",
        ),
    ],
)
def test_what_put_the_answer_in_doubt_is_said(
    facts: dict[str, object], says: str, remedy: str
) -> None:
    (found,) = reading_cautions(reading(**facts))
    assert says in found.says
    assert remedy in found.remedy
    assert found.costs == "decision"


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"key": None, "one_table": True},
        {"left_out": {"r1": COPY, "r2": EARLY, "r3": f"{EARLIER} r4"}},
    ],
)
def test_what_is_as_it_should_be_is_not_mentioned(facts: dict[str, object]) -> None:
    assert list(reading_cautions(reading(**facts))) == []


def test_what_costs_most_comes_first() -> None:
    mixed = [
        Caution(costs=costs, says=str(i), remedy="x")
        for i, costs in enumerate(("precision", "decision", "reach", "decision"))
    ]
    assert [one.says for one in worst_first(mixed)] == ["1", "3", "2", "0"]


def test_few_names_are_listed() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named(list("abcdef")) == "a, b, c and 3 more"
