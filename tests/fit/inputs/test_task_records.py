"""Tasks in run records count where an objective asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Objective
from mixscale.contracts.run_record import DomainLoss, DomainTokens, Evaluation, RunRecord
from mixscale.fit.inputs.records import runs_from_records
from mixscale.fit.metrics.scale import scale_of

DOMAINS = ("web", "code")


def entry(task: str, metric: str, value: float, unit: str, higher: bool | None) -> Evaluation:
    return Evaluation(
        task=task,
        metric=metric,
        value=value,
        stderr=0.01,
        items=100,
        unit=unit,
        higher_is_better=higher,
        settings="",
    )


def record(i: int, *, without: Sequence[str] = ()) -> RunRecord:
    share = 0.2 + 0.06 * i
    tasks = [
        entry("arc_easy", "acc", 0.3 + 0.02 * i, "fraction", True),
        entry("arc_easy", "bpb", 1.2 - 0.03 * i, "bits per byte", False),
        entry("gsm8k", "exact_match", 0.01 * i, "fraction", True),
        entry("odd", "thing", 3.0 + i, "", None),
    ]
    return RunRecord(
        run_id=f"run-{i}",
        sweep="trial",
        role="mixture",
        mixture=f"m{i}",
        scale_tokens=1000_000,
        seed=1,
        status="finished",
        parameters=1000,
        token_budget=1_000_000,
        seen_tokens=1_000_000,
        domains={
            name: DomainTokens(
                proportion=part, planned_tokens=round(1e6 * part), seen_tokens=round(1e6 * part),
                unique_tokens=round(1e6 * part), available_tokens=10**9, epochs=0.0,
            )
            for name, part in (("web", share), ("code", 1 - share))
        },
        evaluation={
            name: DomainLoss(
                loss_nats=3.0 - 0.01 * i, standard_error=0.02, tokens=1000, perplexity=20.0,
                bits_per_byte=None,
            )
            for name in DOMAINS
        },
        evaluations=tuple(e for e in tasks if e.task not in without),
        seconds=1.0, train_seconds=1.0, tokens_per_second=1.0, device="cpu", precision="fp32",
        shardset_sha256="0", versions={}, started="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


RECORDS = [record(i) for i in range(10)]


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        ({}, DOMAINS),
        ({"metric": "perplexity"}, DOMAINS),
        ({"drop": ["web"]}, ("code",)),
        ({"metric": "accuracy"}, ("arc_easy", "gsm8k")),
        ({"weights": {"acc:arc_easy": 1}}, ("arc_easy",)),
        ({"weights": {"bpb:*": 1, "loss:web": 1}}, ("web", "arc_easy")),
        ({"families": {"school": ["acc:arc*", "exact_match:*"]}}, ("arc_easy", "gsm8k")),
    ],
)
def test_what_an_objective_asks_for(objective: dict[str, Any], names: tuple[str, ...]) -> None:
    runs = runs_from_records(RECORDS, Objective.model_validate(objective))
    assert runs.validation == names
    assert runs.losses.shape == (10, len(names))


def test_tasks_have_their_unit_direction_error_and_loss() -> None:
    runs = runs_from_records(RECORDS, Objective(metric="accuracy"))
    arc, gsm = runs.results
    assert (arc.column, arc.unit, arc.higher_is_better) == ("acc:arc_easy", "fraction", True)
    np.testing.assert_allclose(
        scale_of(arc).measured(runs.losses[:, 0]), 0.3 + 0.02 * np.arange(10)
    )
    assert gsm.column == "exact_match:gsm8k"
    assert runs.errors is not None
    # A hundredth of the accuracy, on the scale of log odds.
    accuracy = 0.3 + 0.02 * np.arange(10)
    np.testing.assert_allclose(runs.errors[:, 0], 0.01 / (accuracy * (1 - accuracy)))
    assert runs.behind is not None
    np.testing.assert_allclose(runs.behind[:, 0], 1.2 - 0.03 * np.arange(10))
    assert np.isnan(runs.behind[:, 1]).all()


def test_a_run_without_a_task_that_counts_is_named() -> None:
    records = [*RECORDS, record(10, without=["gsm8k"])]
    with pytest.raises(UserError, match=r"run-10 was not evaluated on exact_match:gsm8k.*evaluate"):
        runs_from_records(records, Objective(metric="accuracy"))
    kept = runs_from_records(records, Objective(metric="accuracy", drop=("gsm8k",)))
    assert kept.validation == ("arc_easy",)


def test_a_task_of_unknown_direction_is_asked_for() -> None:
    with pytest.raises(UserError, match=r"thing:odd: neither .* says whether more or less"):
        runs_from_records(RECORDS, Objective(weights={"thing:odd": 1.0}))
