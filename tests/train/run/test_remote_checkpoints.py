"""Checkpoints in an object store: going on, what is in the way, what cannot be reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.run.checks import check_run
from mixscale.train.run.from_file import train_file
from tests.train.object_store import ObjectStore

LINK, FIRST, LAST = "latest-rank0.pt.symlink", "ep0-ba5-rank0.pt", "ep0-ba10-rank0.pt"


def train(
    folder: Path, values: dict[str, Any], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own: Composer starts others that import its main module."""
    folder.mkdir(exist_ok=True)
    with (folder / "run.yaml").open("w") as stream:
        YAML().dump(values, stream)
    return subprocess.run(
        [sys.executable, "-m", "mixscale", "train", "run.yaml"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def record_in(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("runs/*/result.json")
    return json.loads(path.read_text())


def test_a_run_goes_on_from_an_object_store(
    run_values: dict[str, Any], tmp_path: Path, store: ObjectStore
) -> None:
    values = run_values | {
        "run_name": "run", "save_folder": "s3://bucket/{run_name}/save", "save_interval": "5ba",
        "autoresume": True,
    }  # fmt: skip
    done = train(tmp_path / "whole", values, store.environment)
    assert done.returncode == 0, done.stderr
    whole = record_in(tmp_path / "whole")
    place = "bucket/run/save/"
    assert {place + name for name in (LINK, FIRST, LAST)} < set(store.objects)

    # Killed when the last checkpoint was there and the link to it was not; the machine had been
    # resumed before, so that Composer left its download there.
    store.objects[place + LINK] = store.objects[place + LINK].replace(b"ba10", b"ba5")
    resumed = tmp_path / "resumed"
    old = resumed / "s3:" / "bucket" / "run" / "save" / "latest-rank0.pt"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of another time")
    done = train(resumed, values, store.environment)
    assert done.returncode == 0, done.stderr
    assert record_in(resumed)["evaluation"] == whole["evaluation"]
    assert b"ba10" in store.objects[place + LINK]
    assert sorted(path.name for path in resumed.iterdir()) == ["run.yaml", "runs"]

    # Of another config, and of another program.
    done = train(tmp_path / "other", values | {"seed": 5}, store.environment)
    assert done.returncode == 2
    assert "s3://bucket/run/save/latest-rank0.pt belongs to a run of another" in done.stderr
    assert "seed is 1 in the checkpoint, 5 in the config" in done.stderr

    # Without autoresume what is there is in the way, and that is said before the training.
    done = train(tmp_path / "beside", values | {"autoresume": False}, store.environment)
    assert done.returncode == 2
    assert "save_folder: s3://bucket/run/save has the checkpoints of an earlier run" in done.stderr
    assert not list(tmp_path.glob("beside/runs/*/run.yaml"))


@pytest.mark.parametrize("key", ["save_folder", "load_path"])
def test_without_credentials(run_values: dict[str, Any], tmp_path: Path, key: str) -> None:
    nothing = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(tmp_path / "none"),
               "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}  # fmt: skip
    done = train(tmp_path / "run", run_values | {key: "s3://bucket/run"}, nothing)
    assert done.returncode == 2
    assert f"error: {key}: s3://bucket/run: NoCredentialsError" in done.stderr
    assert "credentials of the store missing in the environment" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("run/runs/*/run.yaml"))


def test_a_checkpoint_that_is_not_in_the_store(
    run_values: dict[str, Any], tmp_path: Path, store: ObjectStore
) -> None:
    done = train(tmp_path / "run", run_values | {"load_path": "s3://b/x.pt"}, store.environment)
    assert done.returncode == 2
    assert "error: load_path: s3://b/x.pt is missing" in done.stderr


@pytest.mark.parametrize("key", ["save_folder", "load_path"])
@pytest.mark.parametrize("scheme", ["hf", "r2", "wandb", "http"])
def test_stores_that_composer_does_not_know(
    run_values: dict[str, Any], key: str, scheme: str
) -> None:
    config = validate(run_values | {key: f"{scheme}://a/b"}, RunConfig, "test")
    with pytest.raises(UserError, match=rf"{key}: {scheme}://a/b: .*no store '{scheme}'; .*s3://"):
        check_run(config, gpus=0)


def test_a_folder_written_as_an_address(run_values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    saving = {"save_folder": f"file://{tmp_path}/save", "save_interval": "5ba"}
    with path.open("w") as stream:
        YAML().dump(run_values | saving, stream)
    record, _ = train_file(path, report=lambda line: None)
    assert record.status == "finished"
    assert (tmp_path / "save" / "ep0-ba10-rank0.pt").is_file()
