"""Metrics: values and slopes, what other packages add, what they may do wrong."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixscale.contracts.errors import UserError
from mixscale.contracts.metrics import Metric, measure_of, metric_named, metrics

ROOT = Path(__file__).parents[2]
BITS_PER_NAT = np.array([0.3, 0.5])


def announce(folder: Path, code: str, entry: str = "mine = mine:METRIC") -> None:
    """Install a package that announces a metric, as pip would leave it."""
    (folder / "mine.py").write_text(code)
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mixscale.metrics]\n{entry}\n")


def listed(folder: Path) -> str:
    """Ask a process that sees the package for every metric; the message when it fails."""
    code = (
        "from mixscale.contracts.errors import UserError\n"
        "from mixscale.contracts.metrics import metrics\n"
        "try:\n    print([metric.title for metric in metrics().values()])\n"
        "except UserError as error:\n    print(error)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("name", "expected", "title"),
    [
        ("loss", [2.0, 3.0], "loss, nats per token"),
        ("perplexity", [math.exp(2), math.exp(3)], "perplexity"),
        ("bits_per_byte", [0.6, 1.5], "bits per byte"),
    ],
)
def test_values(name: str, expected: list[float], title: str) -> None:
    metric = metrics()[name]
    assert metric.from_loss is not None
    value = metric.from_loss.value(np.array([2.0, 3.0]), BITS_PER_NAT)
    assert value == pytest.approx(expected, rel=1e-15)
    assert metric.direction == "lower"
    assert metric.title == title


@pytest.mark.parametrize("name", ["loss", "perplexity", "bits_per_byte"])
@given(loss=st.floats(0.01, 20))
def test_slopes_are_those_of_finite_differences(name: str, loss: float) -> None:
    function = metrics()[name].from_loss
    assert function is not None
    losses = np.array([[loss, loss / 2]])
    step = 1e-6
    up, down = (function.value(losses + s, BITS_PER_NAT) for s in (step, -step))
    slope = function.slope(losses, BITS_PER_NAT)
    assert slope.shape == losses.shape
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(UserError, match=r"--objective: unknown value 'los'.*Did you mean 'loss'"):
        metric_named("los", "--objective")


@pytest.mark.parametrize("name", ["Loss", "bits per byte", "", "1st", "a-b"])
def test_a_name_must_be_a_column(name: str) -> None:
    with pytest.raises(UserError, match="lower-case letters"):
        Metric(name=name, unit="", meaning="")


def test_another_package_adds_a_metric(tmp_path: Path) -> None:
    announce(
        tmp_path,
        "from mixscale.contracts.metrics import Metric\n"
        "METRIC = Metric(name='accuracy', unit='share', meaning='', direction='higher')\n",
    )
    assert listed(tmp_path) == str(
        ["loss, nats per token", "perplexity", "bits per byte", "accuracy, share"]
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("METRIC = 3", "expected a Metric, found a int"),
        ("OTHER = 3", "AttributeError: module 'mine' has no attribute 'METRIC'"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("from mixscale.contracts.metrics import LOSS as METRIC", "a metric 'loss' already"),
    ],
)
def test_what_cannot_be_used_is_named(code: str, message: str, tmp_path: Path) -> None:
    announce(tmp_path, code)
    said = listed(tmp_path)
    assert said.startswith("package mine: entry point mine = mine:METRIC of mixscale.metrics: ")
    assert message in said


@pytest.mark.parametrize(
    ("name", "unit", "higher"),
    [
        ("acc:arc_easy", "fraction", True),
        ("acc_norm", "fraction", True),
        ("acc_arc_easy", "fraction", True),
        ("exact_match_strict_match:gsm8k", "fraction", True),
        ("bpb:gsm8k", "bits per byte", False),
        ("bits_per_byte", "bits per byte", False),
        ("loss:arxiv", "nats", False),
        ("ppl:c4", "perplexity", False),
        ("word_perplexity", "perplexity", False),
        ("mcc:cola", "", True),
    ],
)
def test_names_that_say_unit_and_direction(name: str, unit: str, higher: bool) -> None:
    measure = measure_of(name)
    assert measure is not None
    assert (measure.unit, measure.higher_is_better) == (unit, higher)


@pytest.mark.parametrize("name", ["arxiv", "accuracy_of_mine", "", ":acc", "score:acc"])
def test_names_that_do_not(name: str) -> None:
    assert measure_of(name) is None
