"""Tables in, from files and from Python."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mixscale as ms
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import read_fit
from mixscale.fit.arrays import Floats
from mixscale.fit.fit_tables import fit_tables

DOMAINS = ("web", "code", "books")


def losses_of(shares: Floats) -> Floats:
    return 2 + (shares + 0.1 * shares.sum(-1, keepdims=True)) ** -0.2


@pytest.fixture
def swarm() -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), 16)
    losses = losses_of(shares) + 0.002 * rng.normal(size=(16, 3))
    mixtures = {name: shares[:, i].tolist() for i, name in enumerate(DOMAINS)}
    return mixtures, {name: losses[:, i].tolist() for i, name in enumerate(DOMAINS)}


def write_csv(path: Path, columns: dict[str, list]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def test_from_python(swarm: tuple) -> None:
    fit = ms.fit_tables(*swarm, law="joint", constraints={"floor": 0.05}, bootstrap=0)
    best = fit.optimum()
    assert sum(best.proportions.values()) == pytest.approx(1)
    # The truth is symmetric in the domains.
    assert max(best.proportions.values()) < 0.4
    (predicted,) = fit.predict({"web": 0.5, "code": 0.25, "books": 0.25}).rows()
    truth = losses_of(np.array([[0.5, 0.25, 0.25]]))[0]
    np.testing.assert_allclose([predicted[f"loss_{d}"] for d in DOMAINS], truth, atol=0.01)


def test_ddo_from_tables_of_tokens() -> None:
    base = np.full(3, 1e8)
    rows = [base]
    for i in range(3):
        rows += [np.where(np.arange(3) == i, base * f, base) for f in (3, 1 / 3)]
    tokens = np.array(rows)
    losses = 3 - np.array([0.2, 0.1, 0.05]) @ np.log(0.5 + tokens.T / 1e8)
    names = [f"tokens_{name}" for name in DOMAINS]
    table = dict(zip(names, tokens.T.tolist(), strict=True))
    best = ms.fit_tables(table, {"all": losses.tolist()}, law="ddo", bootstrap=0).optimum()
    assert best.token_budget == 300_000_000
    assert best.proportions["web"] > best.proportions["code"] > best.proportions["books"]


def test_files_in_and_out(tmp_path: Path, swarm: tuple) -> None:
    mixtures, losses = swarm
    names = [f"run{i}" for i in range(16)]
    m = write_csv(tmp_path / "ratios.csv", {"run_id": names, "name": names, **mixtures})
    # Olmix's layout, the rows in another order, one run without metrics.
    turned = {k: v[::-1][:-1] for k, v in {"run_id": names, "name": names, **losses}.items()}
    metrics = write_csv(tmp_path / "metrics.csv", turned)
    folder = fit_tables(m, metrics, law="loglinear", predict=m, out=tmp_path / "out", bootstrap=5)
    record = read_fit(folder)
    assert record.law == "loglinear"
    assert record.cost.runs == 15
    assert any("1 rows of the tables have no partner" in w for w in record.warnings)
    assert (folder / "report.html").is_file()
    with (folder / "predictions.csv").open(encoding="utf-8") as stream:
        predicted = list(csv.DictReader(stream))
    assert [row["run_id"] for row in predicted] == names
    # Under the name that the result has in its table, with its interval.
    missed = [float(r["web"]) - loss for r, loss in zip(predicted, losses["web"], strict=True)]
    assert np.abs(missed).max() < 0.2
    with (folder / "mixtures.csv").open(encoding="utf-8") as stream:
        best = next(csv.DictReader(stream))
    assert sum(float(best[f"w_{name}"]) for name in DOMAINS) == 1.0


def test_parquet_and_perplexities(tmp_path: Path, swarm: tuple) -> None:
    mixtures, losses = swarm
    perplexities = {f"ppl_{name}": np.exp(column).tolist() for name, column in losses.items()}
    pq.write_table(pa.table(mixtures), tmp_path / "m.parquet")
    pq.write_table(pa.table(perplexities), tmp_path / "p.parquet")
    files = tmp_path / "m.parquet", tmp_path / "p.parquet"
    from_files = ms.fit_tables(*files, law="linear", bootstrap=0).optimum()
    direct = ms.fit_tables(mixtures, losses, law="linear", bootstrap=0).optimum()
    assert from_files.proportions == pytest.approx(direct.proportions, abs=1e-6)


@pytest.mark.parametrize(
    ("mixtures", "losses", "message"),
    [
        ({"a": [0.5, 0.5, 0.5], "b": [0.5, 0.7, 0.5]}, {"v": [1.0] * 3}, "row 2: .* sum to 1.2"),
        ({"a": [0.5, -0.5, 1], "b": [0.5, 1.5, 0]}, {"v": [1.0] * 3}, "row 2: a share is missing"),
        ({"a": [1.0] * 3}, {"v": [1.0] * 4}, "4 rows, but 3 mixtures"),
        ({"run": ["x", "y", "z"], "a": [1.0] * 3}, {"run": ["p", "q", "r"], "v": [1.0] * 3},
         "no value of column run is in both"),
        ({"run": ["x", "x", "z"], "a": [1.0] * 3}, {"run": ["x", "y", "z"], "v": [1.0] * 3},
         "names a run twice"),
        ({"a": [1.0] * 2}, {"v": [1.0] * 2}, "3 are the least"),
        ({"a": ["x"] * 3}, {"v": [1.0] * 3}, "no column of shares"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit(mixtures: dict, losses: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ms.fit_tables(mixtures, losses, law="linear")


def test_an_unknown_law_suggests_the_nearest(swarm: tuple) -> None:
    with pytest.raises(UserError, match="Did you mean 'bimix'"):
        ms.fit_tables(*swarm, law="bimx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: cannot read"):
        ms.fit_tables(tmp_path / "none.csv", tmp_path / "none.csv")


def test_importing_fit_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'scipy', 'matplotlib', 'lightgbm', 'pyarrow', 'torch'}"
    code = f"import sys, fit; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
