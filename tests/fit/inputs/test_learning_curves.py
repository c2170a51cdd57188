"""Evaluations during the runs of a sweep, fitted to as checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.evaluation import Evaluation
from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import read_fit
from mixscale.contracts.run_record import CurvePoint, RunRecord, run_folder, write_record
from mixscale.contracts.sweep_record import SweepRecord, write_sweep
from mixscale.fit.fit_experiment import fit_experiment
from mixscale.fit.inputs.learning_curves import with_checkpoints
from mixscale.fit.inputs.records import runs_from_records
from tests.fit.conftest import _record

DOMAINS = ("web", "code")
END = 1_000_000
PARTS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def losses(tokens: np.ndarray, start: float = 0.0) -> dict[str, float]:
    """A power law of each domain's tokens and a little of the other's, with a start above it."""
    worth = np.array([[0.9, 0.1], [0.2, 0.8]]) @ (tokens / 1e5)
    above = start * np.exp(-tokens.sum() / 5e4)
    return dict(zip(DOMAINS, (2 + worth**-0.3 + above).tolist(), strict=True))


def record(share: float, start: float = 0.0, points: bool = True, **changes: Any) -> RunRecord:
    tokens = np.array([END * share, END * (1 - share)])
    measured = np.array([*losses(tokens).values()])
    made = _record(
        f"web-{share:.2f}", "mixture", None, 1.0, END, 1, DOMAINS, tokens, measured, 10**9
    )
    curve = tuple(
        CurvePoint(tokens=round(part * END), losses=losses(part * tokens, start)) for part in PARTS
    )
    known = {"mixture": f"m{share:.2f}", "learning_curve": curve if points else curve[-1:]}
    return made.model_copy(update=known | changes)


def swarm(**changes: Any) -> list[RunRecord]:
    return [record(share, **changes) for share in np.linspace(0.1, 0.9, 9)]


def write(folder: Path, records: list[RunRecord], settings: str = "") -> Path:
    names = tuple(one.run_id for one in records)
    write_sweep(folder, SweepRecord(name="trial", experiment={}, run_ids=names))
    for one in records:
        write_record(run_folder(folder, one.run_id), one)
    mixtures = {one.mixture: {"web": 0.5, "code": 0.5} for one in records}
    path = folder / "experiment.yaml"
    path.write_text(
        f"name: trial\nshardset: .\ndesign: {{type: explicit, scales: [1M], mixtures: {mixtures}}}"
        f"\ntargets: [8M]\n{settings}",
        encoding="utf-8",
    )
    return path


def test_each_evaluation_is_a_row_of_its_run() -> None:
    records = swarm()
    runs, remarks = with_checkpoints(runs_from_records(records), records)
    assert remarks == ()
    assert len(runs) == len(records) * len(PARTS)
    assert len(set(runs.training_runs)) == len(records)
    assert runs.scales.tolist() == [part * END for part in PARTS]
    for share, tokens, measured, weight in zip(
        runs.shares[:, 0], runs.tokens, runs.losses, runs.weight, strict=True
    ):
        assert tokens[0] == pytest.approx(share * tokens.sum())
        assert measured.tolist() == pytest.approx([*losses(tokens).values()])
        assert (weight == 1) == (tokens.sum() == END)
    assert len(set(runs.labels)) == len(runs)
    assert runs.errors is not None
    assert (runs.errors == 0.003).all()


def test_the_start_of_training_is_left_out_and_said() -> None:
    records = swarm(start=3.0)
    runs, (remark,) = with_checkpoints(runs_from_records(records), records)
    assert runs.scales.tolist() == [part * END for part in PARTS[1:]]
    assert "lie above the power law of the later ones" in remark
    assert remark.endswith("they are left out of the fit.")


def test_an_evaluation_that_is_no_number_is_no_row() -> None:
    records = swarm()
    curve = records[0].learning_curve
    spoilt = curve[1].model_copy(update={"losses": {"web": float("nan"), "code": 3.0}})
    records[0] = records[0].model_copy(update={"learning_curve": (curve[0], spoilt, *curve[2:])})
    runs, _ = with_checkpoints(runs_from_records(records), records)
    assert len(runs) == len(records) * len(PARTS) - 1


def test_runs_that_were_evaluated_at_their_end_alone() -> None:
    records = swarm(points=False)
    with pytest.raises(UserError, match=r"fit_checkpoints: no run was .* evaluation\.points says"):
        with_checkpoints(runs_from_records(records), records)


def test_results_that_are_measured_at_the_end_alone() -> None:
    quiz = Evaluation(
        task="quiz", metric="acc", value=0.5, stderr=0.1, items=100, unit="fraction",
        higher_is_better=True, settings="",
    )  # fmt: skip
    records = swarm(evaluations=(quiz,))
    runs = runs_from_records(records, Objective(metric="accuracy"))
    with pytest.raises(UserError, match=r"fit_checkpoints: .*quiz.* at the end of runs alone"):
        with_checkpoints(runs, records)


def test_runs_of_one_budget_reach_others_by_their_checkpoints(tmp_path: Path) -> None:
    """Without them `joint` cannot tell how losses fall with tokens, and predicts none."""
    records = swarm()
    targets = {}
    for name, settings in (("ends", ""), ("all", "fit_checkpoints: true\n")):
        (tmp_path / name).mkdir()
        yaml = write(tmp_path / name, records, settings)
        found = read_fit(fit_experiment(yaml, law="joint", bootstrap=60))
        assert found.cost is not None
        assert found.cost.runs == len(records)
        (targets[name],) = [m for m in found.mixtures if m.token_budget == 8_000_000]
    assert targets["ends"].predicted_objective is None
    target = targets["all"]
    tokens = 8_000_000 * np.array([target.proportions[name] for name in DOMAINS])
    assert target.objective_interval is not None
    low, high = target.objective_interval
    truth = np.mean([*losses(tokens).values()])
    assert low < truth < high
    assert target.predicted_objective == pytest.approx(truth, abs=0.05)
