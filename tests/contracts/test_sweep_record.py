"""The list of a sweep's runs, and the records of those that have ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.sweep_record import SweepRecord, read_sweep, sweep_records, write_sweep
from tests.shards.small_shardsets import make_runs


def test_a_sweep_reads_back(tmp_path: Path) -> None:
    sweep = SweepRecord(name="trial", experiment={"name": "trial"}, run_ids=("b", "a"))
    path = write_sweep(tmp_path, sweep)
    assert path == tmp_path / "sweeps" / "trial.json"
    assert json.loads(path.read_text()) == {
        "format": 1, "name": "trial", "experiment": {"name": "trial"}, "run_ids": ["b", "a"],
    }  # fmt: skip
    assert read_sweep(tmp_path, "trial") == sweep


def test_records_come_in_the_order_of_the_plan_without_those_to_come(tmp_path: Path) -> None:
    make_runs(tmp_path)
    assert len(read_sweep(tmp_path, "demo").run_ids) == 4
    found = [record.run_id for record in sweep_records(tmp_path, "demo")]
    assert found == ["demo-base", "demo-more", "demo-bad"]


def test_a_sweep_that_was_never_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"sweeps/none\.json: no sweep of that name; `mixscale sweep"
    ):
        read_sweep(tmp_path, "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"trial\.json: not JSON"),
        ("[]", r"trial\.json: expected a JSON object"),
        ('{"name": "trial", "experiment": {}}', r"trial\.json: run_ids: missing"),
        ('{"name": "trial", "experiment": {}, "run_ids": [], "x": 1}', r"x: unknown key; allowed"),
    ],
)
def test_a_damaged_sweep_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "trial.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_sweep(tmp_path, "trial")
