"""A checkpoint belongs to a run: what may change when a run goes on, and what is refused."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.contracts.run_record import RunRecord
from mixscale.train.config import RunConfig
from mixscale.train.run.training import train


@pytest.fixture
def values(run_values: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A run that has a checkpoint half-way, as if it had been killed there."""
    torch.set_num_threads(1)
    values = run_values | {
        "run_name": "r",
        "save_folder": str(tmp_path / "save"),
        "save_interval": "5ba",
        "autoresume": True,
    }
    run(values, tmp_path / "first")
    (last,) = (tmp_path / "save").glob("ep*-ba10-rank0.pt")
    last.unlink()
    link = tmp_path / "save" / "latest-rank0.pt"
    link.unlink()
    link.symlink_to("ep0-ba5-rank0.pt")
    return values


def run(values: dict[str, Any], folder: Path) -> RunRecord:
    return train(validate(values, RunConfig, "test"), folder)


def changed(values: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    values = copy.deepcopy(values)
    *parents, last = path.split(".")
    section: Any = values
    for key in parents:
        section = section[int(key) if key.isdigit() else key]
    section[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("train_loader.dataset.streams.code.proportion", 0.4,
         r"streams\.code\.proportion is 0\.5 in the checkpoint, 0\.4 in the config"),
        ("optimizer.lr", 0.02, r"optimizer\.lr is 0\.01 in the checkpoint, 0\.02 in the config"),
        ("global_train_batch_size", 16, "global_train_batch_size is 8"),
        ("seed", 2, "seed is 1"),
        ("max_duration", "2600tok", "max_duration is '2560tok'"),
        ("model.config_overrides.n_embd", 32, "n_embd is 16"),
        ("callbacks", {"threshold_stopper": {"monitor": "TokenLoss", "threshold": 1.0,
                                             "dataloader_label": "code"}},
         "callbacks.threshold_stopper.monitor is absent in the checkpoint"),
        ("train_loader.dataset.streams",
         None, r"streams\.tables\.proportion is 0\.25 in the checkpoint, absent in the config"),
    ],
)  # fmt: skip
def test_another_config_is_refused_with_the_difference(
    values: dict[str, Any], tmp_path: Path, path: str, value: object, said: str
) -> None:
    if value is None:
        streams = copy.deepcopy(values["train_loader"]["dataset"]["streams"])
        del streams["tables"]
        value = streams
    before = {file.name: file.read_bytes() for file in (tmp_path / "save").iterdir()}
    with pytest.raises(UserError, match=said) as refusal:
        run(changed(values, path, value), tmp_path / "second")
    assert "choose another `save_folder` or `run_name`" in str(refusal.value)
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "save").iterdir()}
    assert not (tmp_path / "second" / "result.json").exists()


@pytest.mark.parametrize("by_path", [False, True])
def test_streams_in_another_order(values: dict[str, Any], tmp_path: Path, by_path: bool) -> None:
    """A checkpoint counts the samples of each stream by its number."""
    dataset = values["train_loader"]["dataset"]
    dataset["streams"] = dict(reversed(dataset["streams"].items()))
    said = "order of the training streams is"
    if by_path:
        values |= {"autoresume": False, "save_folder": None,
                   "load_path": str(tmp_path / "save" / "ep0-ba5-rank0.pt")}  # fmt: skip
        said = "load_path: the checkpoint was made on other training data"
    with pytest.raises(UserError, match=said):
        run(values, tmp_path / "second")


def test_what_splits_the_same_computation_may_change(
    values: dict[str, Any], tmp_path: Path
) -> None:
    for path, value in (
        ("device_train_microbatch_size", 4),
        ("train_loader.num_workers", 1),
        ("train_loader.dataset.predownload", 64),
        ("device_eval_batch_size", 12),
        ("loggers", {"in_memory": None}),
        ("callbacks", {"lr_monitor": None}),
        ("save_interval", "3ba"),
        ("metadata", {"machine": "another"}),
    ):
        values = changed(values, path, value)
    record = run(values, tmp_path / "second")
    assert (record.status, record.seen_tokens) == ("finished", 80 * 32)
    log = (tmp_path / "save" / "latest-rank0.pt").resolve().name
    assert "-ba10-" in log


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(
    values: dict[str, Any], tmp_path: Path
) -> None:
    save = tmp_path / "save"
    (save / "latest-rank0.pt").unlink()
    content = (save / "ep0-ba5-rank0.pt").read_bytes()
    (save / "ep0-ba7-rank0.pt").write_bytes(content[: len(content) // 2])
    (save / "latest-rank0.pt").symlink_to("ep0-ba7-rank0.pt")
    with pytest.raises(UserError, match=r"autoresume: .*ep0-ba7-rank0.pt is damaged .* delete"):
        run(values, tmp_path / "second")
    (save / "ep0-ba7-rank0.pt").unlink()
    assert run(values, tmp_path / "second").status == "finished"


def test_a_checkpoint_that_tells_no_run_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "save" / "ep0-ba5-rank0.pt"
    (tmp_path / "save" / "latest-rank0.pt").unlink()
    (tmp_path / "save" / "latest-rank0.pt").symlink_to(path.name)
    state = torch.load(path, weights_only=False)
    del state["state"]["callbacks"]["CheckpointOwner"]
    torch.save(state, path)
    with pytest.raises(UserError, match="does not tell which config it belongs to"):
        run(values, tmp_path / "second")


def test_a_folder_with_checkpoints_of_another_run(values: dict[str, Any], tmp_path: Path) -> None:
    without = values | {"autoresume": False}
    with pytest.raises(UserError, match=r"save_folder: .* of an earlier run .*save_overwrite"):
        run(without, tmp_path / "second")
    assert run(without | {"save_overwrite": True}, tmp_path / "second").status == "finished"


@pytest.mark.parametrize("weights_only", [False, True])
def test_load_path_of_a_run_on_other_domains(
    values: dict[str, Any], tmp_path: Path, weights_only: bool
) -> None:
    del values["train_loader"]["dataset"]["streams"]["tables"]
    values |= {
        "autoresume": False,
        "save_folder": None,
        "load_path": str(tmp_path / "save" / "ep0-ba5-rank0.pt"),
        "load_weights_only": weights_only,
    }
    if weights_only:
        assert run(values, tmp_path / "second").status == "finished"
        return
    with pytest.raises(UserError, match="load_path: the checkpoint was made on other training"):
        run(values, tmp_path / "second")


@pytest.mark.parametrize("kind", ["folder", "text"])
def test_load_path_that_is_no_checkpoint(values: dict[str, Any], tmp_path: Path, kind: str) -> None:
    place = tmp_path / "model"
    place.mkdir()
    if kind == "text":
        place = place / "notes.pt"
        place.write_text("no checkpoint")
    values |= {"autoresume": False, "save_folder": None, "load_path": str(place)}
    with pytest.raises(UserError, match=f"load_path: {re.escape(str(place))} is "):
        run(values, tmp_path / "second")
