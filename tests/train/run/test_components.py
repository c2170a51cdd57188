"""Optimizers, schedulers, callbacks: made by name, checked before a run."""

from __future__ import annotations

import gc
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from composer.core import State, Time
from composer.devices import DeviceCPU

from mixscale.contracts.config import validate
from mixscale.contracts.errors import UserError
from mixscale.train.config import RunConfig
from mixscale.train.run.optimizers import DecoupledLion, InverseSquareRootWithWarmup
from mixscale.train.run.preflight import preflight
from mixscale.train.run.training import train
from mixscale.train.run.warm_up import warm_up_warning


def make(values: dict[str, Any], **changes: Any) -> RunConfig:
    return validate({**values, **changes}, RunConfig, "test")


def test_lion_steps_by_the_sign_of_its_momentum() -> None:
    """Two steps worked out by hand from algorithm 2 of arXiv 2302.06675."""
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    lion = DecoupledLion([weight], lr=0.1, betas=(0.9, 0.5), weight_decay=0.01)
    weight.grad = torch.tensor([3.0, -1.0])
    lion.step()
    assert weight.tolist() == pytest.approx([1.0 * 0.99 - 0.1, -2.0 * 0.99 + 0.1])
    # The momentum is half the gradient now: 1.5 and -0.5; of it 0.9 and 0.1 of the new gradient.
    weight.grad = torch.tensor([-20.0, 1.0])
    lion.step()
    assert weight.tolist() == pytest.approx([0.89 * 0.99 + 0.1, -1.88 * 0.99 + 0.1])


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (0, 0.0),
        (5, 0.5),
        (10, 1.0),
        (40, 0.1 + 0.9 / math.sqrt(2)),
        (100, 0.1 + 0.9 / 2),
        (110, (0.1 + 0.9 / 2) / 2),
        (120, 0.0),
    ],
)
def test_the_inverse_square_root(batch: int, expected: float) -> None:
    scheduler = InverseSquareRootWithWarmup("10ba", "30ba", "20ba", alpha_f_decay=0.1)
    state = State(
        model=torch.nn.Linear(1, 1),
        rank_zero_seed=0,
        run_name="x",
        device=DeviceCPU(),
        max_duration="120ba",
    )
    state.timestamp = state.timestamp.copy(batch=Time(batch, "ba"))
    assert scheduler(state) == pytest.approx(expected)


@pytest.mark.parametrize(
    "optimizer",
    [{"name": "lion", "lr": 1e-3}, {"name": "decoupled_lionw", "lr": 1e-3, "betas": [0.9, 0.99]},
     {"name": "adam", "lr": 1e-2}],
)  # fmt: skip
def test_they_train(run_values: dict[str, Any], tmp_path: Path, optimizer: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    config = make(
        run_values,
        optimizer=optimizer,
        max_duration="40ba",
        eval_interval="20ba",
        scheduler={"name": "inv_sqrt_with_warmup", "t_warmup": "2ba", "t_scale": "4ba",
                   "t_cooldown": "2ba"},
        callbacks={"scheduled_gc": {"batch_interval": 4}, "run_timeout": {"timeout": 600},
                   "nan_monitor": None},
    )  # fmt: skip
    record = train(config, tmp_path / "run")
    assert record.status == "finished"
    early, late = (point.losses for point in record.learning_curve)
    assert late["code"] < early["code"]
    assert gc.isenabled()


OWN = """
from composer import Callback

class Counts(Callback):
    batches = 0
    def __init__(self, step=1):
        self.step = step
    def batch_end(self, state, logger):
        Counts.batches += self.step

class NoCallback:
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_callbacks_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_callback_of_ones_own(own: str, run_values: dict[str, Any], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    config = make(run_values, callbacks={f"{own}.Counts": {"step": 2}}, max_duration="3ba")
    preflight(config)
    train(config, tmp_path / "run")
    assert sys.modules[own].Counts.batches == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": {"name": "adamm"}}, "optimizer.name: unknown value 'adamm'.*mean 'adam"),
        (
            {"optimizer": {"name": "lion", "lr": 0}},
            "optimizer 'lion': .*lr is 0; it must be above",
        ),
        ({"optimizer": {"name": "lion", "rate": 1}}, r"optimizer 'lion': .*'rate'.*'lr', 'betas'"),
        ({"optimizer": {"name": "decoupled_adamw", "lr": -1.0}}, "optimizer 'decoupled_adamw'"),
        ({"scheduler": {"name": "cosin"}}, "scheduler.name: unknown value 'cosin'"),
        (
            {"scheduler": {"name": "cosine_with_warmup", "t_warmup": "10ba"}},
            "scheduler 'cosine_with_warmup': .*same units.*max_duration is 2560tok.*0.05dur",
        ),
        (
            {"scheduler": {"name": "cosine_with_warmup", "t_warmup": "soon"}},
            "scheduler 'cosine_with_warmup'",
        ),
        (
            {"scheduler": {"name": "cosine_with_warmup", "t_warmup": "9tok", "t_max": "100tok"}},
            "scheduler 'cosine_with_warmup': .*t_max",
        ),
        ({"callbacks": {"lr_monitr": None}}, "callbacks.name: unknown value 'lr_monitr'"),
        ({"callbacks": {"scheduled_gc": {}}}, "callbacks 'scheduled_gc': missing .*batch_interval"),
        ({"callbacks": {"no_such.Thing": {}}}, "callbacks: 'no_such.Thing': cannot import it"),
        ({"callbacks": {"OWN.Nothing": {}}}, "cannot import it"),
        ({"callbacks": {"OWN.NoCallback": {}}}, "is no class made from .*Callback"),
        ({"callbacks": {"OWN.Counts": {"stp": 1}}}, "Counts': .*'stp'"),
        ({"algorithms": {"ema": {"half": 1}}}, "algorithms 'ema'"),
        ({"loggers": {"file": {"filname": "x"}}}, "loggers 'file': .*filname"),
    ],
)
def test_mistakes_are_found_before_a_run(
    own: str, run_values: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    if "callbacks" in changes:
        changes = {"callbacks": {
            name.replace("OWN", own): value for name, value in changes["callbacks"].items()
        }}  # fmt: skip
    with pytest.raises(UserError, match=message):
        preflight(make(run_values, **changes))


@pytest.mark.parametrize(
    ("warm_up", "duration", "warns"),
    [
        ("0.05dur", "10ba", False),
        ("1dur", "10ba", True),
        ("100ba", "99ba", True),
        ("100ba", "101ba", False),
        ("10ba", "2560tok", True),
        ("9ba", "2560tok", False),
        ("1ep", "10ba", True),
        ("80sp", "1ep", True),
    ],
)
def test_a_warm_up_longer_than_the_run_is_said(
    run_values: dict[str, Any], warm_up: str, duration: str, warns: bool
) -> None:
    """A batch is 8 samples of 32 tokens, an epoch 80 samples."""
    config = make(
        run_values,
        scheduler={"name": "cosine_with_warmup", "t_warmup": warm_up},
        max_duration=duration,
    )
    warning = warm_up_warning(config)
    assert (warning is not None) == warns
    if warning is not None:
        assert warning.startswith(f"scheduler.t_warmup: {warm_up} is not shorter than the run")
