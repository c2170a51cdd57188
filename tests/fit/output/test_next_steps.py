"""What to do next, what it costs, and that the cheapest comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixscale.contracts.fit_record import FitRecord, read_fit
from mixscale.fit.output.advised import advised
from mixscale.fit.output.next_steps import NextStep, apply_step, duration, surer_steps


@pytest.fixture(scope="module")
def change(clear: Path) -> FitRecord:
    return read_fit(clear)


@pytest.fixture(scope="module")
def keep(unsure: Path) -> FitRecord:
    return read_fit(unsure)


def test_a_change_is_applied_at_once_and_checked_by_two_runs(change: FitRecord) -> None:
    step = apply_step(change, Path("some/fit"))
    assert step is not None
    assert step.command == "mixscale apply some/fit --tokens 64M run.yaml"
    first = surer_steps(change)[0]
    assert first.runs == 2
    # Four times the largest scale, twice.
    assert first.tokens == 2 * 4 * 4_000_000
    assert "16M tokens" in first.do


def test_what_is_kept_is_not_applied(keep: FitRecord) -> None:
    assert apply_step(keep, None) is None
    assert surer_steps(keep)


def test_steps_are_in_the_order_of_their_cost(change: FitRecord, keep: FitRecord) -> None:
    for record in (change, keep):
        costs = [step.tokens for step in surer_steps(record) if step.tokens is not None]
        assert costs == sorted(costs)


def test_the_time_is_that_of_as_many_tokens_of_the_runs(change: FitRecord) -> None:
    cost = change.cost
    assert cost.seconds is not None
    assert cost.tokens is not None
    for step in surer_steps(change):
        if step.seconds is not None and step.tokens is not None and "size" not in step.do:
            assert step.seconds / step.tokens == pytest.approx(cost.seconds / cost.tokens)


def test_nothing_that_costs_more_than_the_run_itself_while_there_is_less(keep: FitRecord) -> None:
    """A target a little above the runs: another whole scale would cost more than it."""
    small = tuple(
        m.model_copy(update={"token_budget": 5_000_000} if m.kind == "projected" else {})
        for m in keep.mixtures
    )
    record = keep.model_copy(update={"mixtures": small, "noise": "unknown"})
    steps = [step for step in surer_steps(record) if step.runs]
    assert len(steps) == 1
    assert "another seed" in steps[0].do


def test_unknown_noise_is_measured_first(change: FitRecord) -> None:
    record = change.model_copy(update={"noise": "unknown"})
    assert any("another seed" in step.do for step in surer_steps(record))
    assert not any("another seed" in step.do for step in surer_steps(change))


def test_tables_without_tokens_are_asked_for_them(change: FitRecord) -> None:
    scales = tuple(s.model_copy(update={"scale_tokens": None}) for s in change.scales[-1:])
    mixture = advised(change).mixture.model_copy(update={"token_budget": None, "kind": "measured"})
    record = change.model_copy(update={"scales": scales, "mixtures": (mixture,)})
    step = apply_step(record, None)
    assert step is not None
    assert step.command == "mixscale apply FIT --tokens TOKENS run.yaml"
    assert "--tokens 1B --targets 300B" in surer_steps(record)[-1].do


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (119, "119 s"), (600, "10 min"), (7300, "2 h"), (200_000, "2.3 days")],
)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_costs_nothing_says_nothing_of_it() -> None:
    assert NextStep(do="ask", so_that="it is known").cost == ""
    step = NextStep(do="run", so_that="it is known", runs=2, tokens=3e9, seconds=600)
    assert step.cost == "2 runs, 3B tokens, about 10 min"
