"""Runs that are read from the records of a sweep, and those that are left out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Objective
from mixscale.contracts.run_record import (
    DomainLoss,
    DomainTokens,
    RunRecord,
    run_folder,
    write_record,
)
from mixscale.contracts.sweep_record import SweepRecord, write_sweep
from mixscale.fit.inputs.objective import objective_function
from mixscale.fit.inputs.records import gather, runs_from_records
from mixscale.fit.uncertainty.model_error import folds_of
from mixscale.fit.uncertainty.noise import estimate_noise
from tests.fit.conftest import _record
from tests.fit.simulated import DOMAINS, losses_of, mixtures


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


SAMPLE, SIZES, BUDGETS = 128, (10_000, 50_000), (20_480, 40_960, 128_000)


def swarm(seeds: tuple[int, ...] = (1,)) -> list[RunRecord]:
    """Short runs of two models, of whole samples."""
    records = []
    for number, shares in enumerate(mixtures(12)):
        for parameters in SIZES:
            for budget in BUDGETS:
                samples = np.floor(shares * budget / SAMPLE)
                samples[samples.argmax()] += budget / SAMPLE - samples.sum()
                tokens = samples * SAMPLE
                for seed in seeds:
                    losses = losses_of(
                        (tokens / budget)[None], np.array([budget * 1e3]), seed=seed + number
                    )[0] + 1 / np.log(parameters)
                    made = _record(
                        f"{number}-{parameters}-{budget}-{seed}", "mixture", None, 1.0, budget,
                        seed, DOMAINS, tokens, losses, 10**9,
                    )  # fmt: skip
                    known = {"mixture": f"random-{number}", "parameters": parameters}
                    records.append(made.model_copy(update=known))
    return records


def test_short_runs_of_one_mixture_are_left_out_together() -> None:
    """Whole samples come only near to the shares that were planned, each budget otherwise."""
    runs = runs_from_records(swarm())
    assert len({tuple(row) for row in runs.shares.round(6).tolist()}) > 12
    assert len(set(runs.mixtures)) == 12
    for weight in folds_of(runs, np.ones(len(runs))):
        out = {name for name, counts in zip(runs.named, weight, strict=True) if not counts}
        kept = {name for name, counts in zip(runs.named, weight, strict=True) if counts}
        assert out
        assert not out & kept


def test_models_of_two_sizes_are_no_repeats_of_one_run() -> None:
    """One seed tells nothing of the noise, however many models read the same text."""
    objective = objective_function(Objective(), DOMAINS)
    one, two = (runs_from_records(swarm(seeds)) for seeds in ((1,), (1, 2)))
    assert len(set(one.labels)) == len(one)
    assert estimate_noise(one, objective).source == "evaluation"
    measured = estimate_noise(two, objective)
    assert measured.source == "seeds"
    # Losses of the simulation have a deviation of 0.002 each, the objective is their mean.
    assert measured.objective == pytest.approx(0.002 / np.sqrt(len(DOMAINS)), rel=0.35)


def test_mixtures_of_one_name_that_differ_stay_apart() -> None:
    records = swarm()
    renamed = [one.model_copy(update={"mixture": "random"}) for one in records]
    runs = runs_from_records(renamed)
    assert len(set(runs.mixtures)) >= 12
