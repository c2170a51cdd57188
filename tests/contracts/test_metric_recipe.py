"""The recipe of the documentation: a metric of another package, from the fit to SQL."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.shards.small_shardsets import make_runs, make_shardset

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "docs" / "extending.md"


def install_recipe(folder: Path) -> None:
    """Install the package of the recipe, as pip would leave it."""
    text = RECIPE.read_text()
    code = re.search(r"`loss_bits\.py`:\n\n```python\n(.*?)```", text, re.DOTALL)
    entry = re.search(r'"mixscale\.metrics"\]\nloss_bits = "(.*?)"', text)
    assert code is not None
    assert entry is not None
    info = folder / "loss_bits-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "loss_bits.py").write_text(code[1])
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loss-bits\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mixscale.metrics]\nloss_bits = {entry[1]}\n")


def mixscale(package: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{package}"}
    command = [sys.executable, "-m", "mixscale", *arguments]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """Mixtures with losses that a log-linear law describes, with its optimum inside."""
    rng = np.random.default_rng(17)
    shares = rng.dirichlet([1.0, 1.0, 1.0], 30)
    losses = 2 + np.exp(-1.5 * shares[:, 0]) + np.exp(-shares[:, 1]) + np.exp(-0.5 * shares[:, 2])
    (tmp_path / "mixtures.csv").write_text(
        "w_a,w_b,w_c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in shares)
    )
    (tmp_path / "losses.csv").write_text("loss_v\n" + "".join(f"{x}\n" for x in losses))
    return ["--mixtures", str(tmp_path / "mixtures.csv"), "--losses", str(tmp_path / "losses.csv")]


def test_the_recipe_for_a_metric(tables: list[str], tmp_path: Path) -> None:
    package, shardset = tmp_path / "package", tmp_path / "shardset"
    install_recipe(package)
    make_shardset(shardset)
    make_runs(shardset)
    fits: dict[str, dict[str, object]] = {}
    for metric in ("loss", "loss_bits"):
        out = shardset / "fits" if metric == "loss_bits" else tmp_path / "plain"
        asked = ["--law", "quadratic", "--bootstrap", "0", "--objective", metric]
        fits[metric] = json.loads(
            mixscale(package, "fit", *tables, *asked, "--out", str(out), "--json")
        )
    nats, bits = (fits[metric]["mixtures"][0] for metric in ("loss", "loss_bits"))  # pyright: ignore[reportIndexIssue]
    assert bits["predicted_objective"] == pytest.approx(nats["predicted_objective"] / math.log(2))
    assert bits["proportions"] == pytest.approx(nats["proportions"], abs=1e-4)
    page = Path(str(fits["loss_bits"]["folder"]), "report.html").read_text()
    assert "loss bits, bits per token" in page

    def sql(query: str) -> list[dict[str, object]]:
        return json.loads(mixscale(package, "sql", str(shardset), query, "--format", "json"))

    objective = sql("SELECT objective ->> 'metric' AS metric FROM fits")
    assert objective == [{"metric": "loss_bits"}]
    predicted = sql("SELECT DISTINCT predicted_objective FROM mixtures")
    assert predicted == [{"predicted_objective": bits["predicted_objective"]}]
    (row,) = sql(
        "SELECT loss_nats, loss_bits FROM run_domains "
        "WHERE run_id = 'demo-base' AND domain = 'arxiv'"
    )
    assert row == pytest.approx({"loss_nats": 3.0, "loss_bits": 3.0 / math.log(2)})


def test_without_the_package_its_metric_is_refused(tables: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mixscale", "fit", *tables, "--objective", "loss_bits"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert ran.returncode == 2
    assert re.search(
        r"objective\.metric: unknown metric; expected one of \['loss', .*\(found 'loss_bits'\)",
        ran.stderr,
    )
