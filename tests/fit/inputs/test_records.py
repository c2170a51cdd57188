"""Runs that are read from the records of a sweep, and those that are left out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import (
    DomainLoss,
    DomainTokens,
    RunRecord,
    run_folder,
    write_record,
)
from mixscale.contracts.sweep_record import SweepRecord, write_sweep
from mixscale.fit.inputs.records import gather


def record(name: str, losses: dict[str, float], **changes: Any) -> RunRecord:
    tokens = DomainTokens(
        proportion=1, planned_tokens=320, seen_tokens=320, unique_tokens=320, available_tokens=640,
        epochs=0.5,
    )  # fmt: skip
    evaluation = {
        domain: DomainLoss(
            loss_nats=loss, standard_error=None, tokens=310, perplexity=1.0, bits_per_byte=None
        )
        for domain, loss in losses.items()
    }
    values: dict[str, Any] = {
        "run_id": name, "seed": 1, "status": "finished", "parameters": 10, "token_budget": 320,
        "seen_tokens": 320, "domains": {"code": tokens}, "evaluation": evaluation, "seconds": 1,
        "train_seconds": 1, "tokens_per_second": 1, "device": "cpu", "precision": "fp32",
        "shardset_sha256": "", "versions": {}, "started": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return RunRecord.model_validate(values | changes)


def write(out: Path, *records: RunRecord) -> None:
    names = tuple(record.run_id for record in records)
    write_sweep(out, SweepRecord(name="trial", experiment={}, run_ids=names))
    for one in records:
        write_record(run_folder(out, one.run_id), one)


def test_runs_without_a_loss_that_is_a_number_are_left_out(tmp_path: Path) -> None:
    """Records that an earlier version called finished among them."""
    write(
        tmp_path,
        record("good", {"code": 3.0}),
        record("nan", {"code": math.nan}),
        record("infinite", {"code": math.inf}),
        record("none", {}),
        record("early", {}, status="stopped", error="a callback ended the run"),
    )
    found = gather(tmp_path, "trial")
    assert [one.run_id for one in found.records] == ["good"]
    (warning,) = found.warnings
    for said in (
        "nan (validation loss of code is nan)",
        "infinite (validation loss of code is inf)",
        "none (no validation loss)",
        "early (stopped)",
    ):
        assert said in warning


def test_a_sweep_without_any_loss_is_refused(tmp_path: Path) -> None:
    write(tmp_path, record("nan", {"code": math.nan}), record("none", {}))
    with pytest.raises(UserError, match="no finished run"):
        gather(tmp_path, "trial")
