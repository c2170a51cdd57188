"""Run records: written once, read strictly, those of older versions too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import read_record, run_folder
from tests.shards.small_shardsets import make_runs


def test_a_record_reads_back(tmp_path: Path) -> None:
    record = make_runs(tmp_path)[0]
    path = run_folder(tmp_path, record.run_id) / "result.json"
    assert path == tmp_path / "runs" / "demo-base" / "result.json"
    assert json.loads(path.read_text())["domains"]["arxiv"]["seen_tokens"] == 3000
    assert read_record(path) == record


def test_a_record_without_newer_keys_is_read(tmp_path: Path) -> None:
    make_runs(tmp_path)
    path = tmp_path / "runs" / "demo-base" / "result.json"
    values = json.loads(path.read_text())
    for key in ("scale_tokens", "factor", "learning_curve", "mixture"):
        del values[key]
    path.write_text(json.dumps(values))
    record = read_record(path)
    assert (record.scale_tokens, record.factor, record.learning_curve) == (None, 1.0, ())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "seen_tokens",
            -1,
            r"result\.json: seen_tokens: .*greater than or equal to 0 \(found -1\)",
        ),
        ("status", "lost", r"status: .*'finished', 'stopped', 'diverged'.*\(found 'lost'\)"),
        ("format", 2, r"format: .*\(found 2\)"),
        ("colour", "red", r"colour: unknown key; allowed here: device, domain, domains"),
    ],
)
def test_a_wrong_record_is_named(key: str, value: object, message: str, tmp_path: Path) -> None:
    make_runs(tmp_path)
    path = tmp_path / "runs" / "demo-base" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=message):
        read_record(path)
