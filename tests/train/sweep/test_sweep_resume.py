"""Sweeps whose runs save checkpoints, go on from them, or are refused for their config."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.contracts.sweep_record import sweep_records
from mixscale.train.sweep.plan import plan
from mixscale.train.sweep.sweep import sweep
from tests.train.tiny_run import TINY_RUN

EXPERIMENT = (
    """\
name: long
shardset: {shardset}
out: {out}
design:
  type: explicit
  scales: [38400]
  repetition: {repetition}
  mixtures:
    some: {{code: 0.5, prose: 0.3, tables: 0.2}}
    most: {{code: 0.8, prose: 0.1, tables: 0.1}}
max_proxy_epochs: 20
evaluation:
  tokens_per_domain: 512
  points: 4
targets: [100k]
"""
    + TINY_RUN
)


def write(folder: Path, shardset: Path, more: str = "", repetition: str = "none") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "experiment.yaml"
    text = EXPERIMENT.format(shardset=shardset, out=folder / "out", repetition=repetition)
    path.write_text(text + more)
    return path


def outcomes(folder: Path) -> list[dict[str, object]]:
    """Everything but times, for each run."""
    clocks = {"seconds", "train_seconds", "tokens_per_second", "started"}
    records: list[RunRecord] = list(sweep_records(folder / "out", "long"))
    return [record.model_dump(exclude=clocks) for record in records]


@pytest.mark.parametrize("repetition", ["none", "as_target"])
def test_a_killed_run_goes_on_from_its_checkpoint(
    shardset: Path, tmp_path: Path, repetition: str
) -> None:
    whole = write(tmp_path / "whole", shardset, repetition=repetition)
    sweep(whole, workers=1, report=lambda line: None)
    resumed = write(tmp_path / "killed", shardset, "  autoresume: true\n", repetition)
    command = [sys.executable, "-m", "mixscale", "sweep", str(resumed), "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    _wait_for_checkpoint(tmp_path / "killed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "killed").glob("out/runs/*/result.json")), "killed after its end"
    result = sweep(resumed, workers=1, report=lambda line: None)
    assert result.states == {"finished": 2}
    logs = [path.read_text() for path in (tmp_path / "killed").glob("out/runs/*/log.txt")]
    assert len(logs) == 2
    assert outcomes(tmp_path / "killed") == outcomes(tmp_path / "whole")
    assert len(list((tmp_path / "killed").glob("out/runs/*/checkpoints/latest-rank0.pt"))) == 2
    # Of 40 samples 15 where the target has 100k tokens; the run of most asks for 120 of them.
    (most,) = [r for r in sweep_records(tmp_path / "killed" / "out", "long") if r.mixture == "most"]
    expected = 15 * 32 if repetition == "as_target" else 40 * 32
    assert most.domains["tables"].unique_tokens == expected


def test_runs_that_save_have_folders_of_their_own(shardset: Path, tmp_path: Path) -> None:
    more = f"  save_folder: {tmp_path / 'save'}\n  save_interval: 100ba\n"
    result = sweep(write(tmp_path, shardset, more), workers=2, report=lambda line: None)
    assert result.states == {"finished": 2}
    folders = {path.name for path in (tmp_path / "save").iterdir()}
    assert folders == {record.run_id for record in result.records}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("  device_eval_batch_size: x\n", "device_eval_batch_size: expected a whole number"),
        ("  device_eval_batch_size: 0\n", "device_eval_batch_size: expected a whole number"),
        ("  precision: amp_bf16\n", "precision: amp_bf16 needs a GPU"),
        ("  fsdp_config: {sharding_strategy: FULL_SHARD}\n", "fsdp_config: .* needs GPUs"),
        ("  save_folder: a/{x}\n  run_name: x\n", "run_name"),
        ("  load_path: nowhere.pt\n", "load_path: nowhere.pt is missing"),
        ("  algorithms: {seq_length_warmup: {}}\n", r"algorithms\.seq_length_warmup: it cuts"),
        ("  algorithms: {label_smoothing: {}}\n", r"algorithms\.label_smoothing: the model"),
        ("  algorithms: {alibi: {max_sequence_length: 32}}\n", r"algorithms\.alibi: "),
        ("  algorithms: {gated_linear_units: {}}\n", r"gated_linear_units: .*`bert` alone.*'gpt2'"),
        ("  scheduler: {name: linear, t_max: 0ba}\n", "scheduler 'linear': .*ZeroDivisionError"),
        ("  scheduler: {name: constant, alpha: x}\n", "scheduler 'constant': .*alpha"),
    ],
)
def test_mistakes_are_found_before_the_first_run(
    shardset: Path, tmp_path: Path, more: str, said: str
) -> None:
    experiment = write(tmp_path, shardset, more)
    with pytest.raises(UserError, match=said):
        plan(experiment, measure=False, gpus_per_run=0)
    with pytest.raises(UserError, match=said):
        sweep(experiment, gpus_per_run=0, report=lambda line: None)
    assert not list(tmp_path.glob("out/runs/*"))


def test_the_first_refused_run_ends_the_sweep(shardset: Path, tmp_path: Path) -> None:
    """What its config asks for cannot be, so that it cannot be for the others either."""
    more = "  compile_config: {backend: nothing}\n"
    with pytest.raises(UserError, match=r"compile_config: "):
        sweep(write(tmp_path, shardset, more), workers=1, report=lambda line: None)
    assert len(list(tmp_path.glob("out/runs/*/log.txt"))) == 1


def _wait_for_checkpoint(folder: Path) -> None:
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        if list(folder.glob("out/runs/*/checkpoints/latest-rank0.pt")):
            return
        time.sleep(0.01)
    pytest.fail("no checkpoint in time")
