"""Runs that are killed and go on, and runs on several devices."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from mixscale.contracts.config import validate
from mixscale.contracts.run_record import RunRecord, read_record
from mixscale.train.config import RunConfig
from mixscale.train.run.checkpoints import remove_unfinished
from mixscale.train.run.training import train

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def write(folder: Path, values: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.yaml"
    with path.open("w") as stream:
        YAML().dump(values, stream)
    return path


def the_record(folder: Path) -> RunRecord:
    (result,) = folder.glob("runs/*/result.json")
    return read_record(result)


@pytest.fixture
def long_run(run_values: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A run of 200 batches with a checkpoint every 20, half-way through an epoch each time."""
    run_values["train_loader"]["dataset"]["epoch_size"] = 1600
    return run_values | {
        "max_duration": f"{1600 * 32}tok",
        "eval_interval": f"{400 * 32}tok",
        "run_name": "long",
        "save_interval": "20ba",
        "autoresume": True,
    }


@pytest.mark.parametrize("masked", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_and_resumed_it_ends_with_the_same_model(
    long_run: dict[str, Any], masked_model: dict[str, Any], tmp_path: Path, masked: bool
) -> None:
    if masked:
        long_run |= masked_model
    whole = write(tmp_path / "whole", long_run | {"save_folder": str(tmp_path / "whole" / "save")})
    command = [sys.executable, "-m", "mixscale", "train"]
    subprocess.run([*command, str(whole)], check=True, env=ENVIRONMENT)

    killed = write(
        tmp_path / "killed", long_run | {"save_folder": str(tmp_path / "killed" / "save")}
    )
    process = subprocess.Popen([*command, str(killed)], env=ENVIRONMENT)
    _wait_for_checkpoints(tmp_path / "killed" / "save", 2)
    process.kill()
    process.wait()
    assert not list((tmp_path / "killed").glob("runs/*/result.json")), "killed after its end"
    subprocess.run([*command, str(killed)], check=True, env=ENVIRONMENT)

    expected, found = the_record(tmp_path / "whole"), the_record(tmp_path / "killed")
    assert found.run_id == expected.run_id
    assert found.domains == expected.domains
    assert found.learning_curve == expected.learning_curve
    assert found.evaluation == expected.evaluation
    assert found.seconds > 0


def test_killed_after_its_last_checkpoint_it_still_has_its_losses(
    run_values: dict[str, Any], tmp_path: Path
) -> None:
    """The same command again finds nothing to train, and must write the whole record."""
    torch.set_num_threads(1)
    values = run_values | {
        "run_name": "r",
        "save_folder": str(tmp_path / "save"),
        "autoresume": True,
    }
    config = validate(values, RunConfig, "test")
    expected = train(config, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    found = train(config, tmp_path / "run")
    assert found.evaluation == expected.evaluation
    assert found.learning_curve == expected.learning_curve
    assert found.domains == expected.domains
    assert found.train_seconds > 0


def test_two_devices_see_each_sample_once(run_values: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, run_values)
    launcher = Path(sys.executable).with_name("composer")
    subprocess.run(
        [str(launcher), "-n", "2", "-m", "mixscale.train", str(path)], check=True, env=ENVIRONMENT
    )
    record = the_record(tmp_path)
    assert record.status == "finished"
    assert {name: tokens.seen_tokens for name, tokens in record.domains.items()} == {
        "code": 40 * 32,
        "prose": 20 * 32,
        "tables": 20 * 32,
    }
    assert record.domains["tables"].unique_tokens == 20 * 32
    # Both halves of the validation samples count: the losses are those of one device.
    alone = train(validate(run_values, RunConfig, "test"), tmp_path / "alone")
    for name, loss in record.evaluation.items():
        expected = alone.evaluation[name]
        assert loss.tokens == expected.tokens == 24 * 31
        assert loss.loss_nats == pytest.approx(expected.loss_nats, abs=1e-4)
        assert loss.standard_error == pytest.approx(expected.standard_error, rel=1e-2)


def test_a_checkpoint_that_was_not_finished_is_dropped(
    run_values: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("ep0-ba20-rank0.pt", "ep0-ba40-rank0.pt", "notes.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "latest-rank0.pt").symlink_to("ep0-ba20-rank0.pt")
    values = run_values | {"autoresume": True, "run_name": "r", "save_folder": str(tmp_path)}
    removed = remove_unfinished(validate(values, RunConfig, "test"))
    assert [path.name for path in removed] == ["ep0-ba40-rank0.pt"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "ep0-ba20-rank0.pt",
        "latest-rank0.pt",
        "notes.txt",
    }


def _wait_for_checkpoints(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if len(list(folder.glob("ep*.pt"))) >= count:
            return
        time.sleep(0.02)
    pytest.fail("no checkpoint in time")
