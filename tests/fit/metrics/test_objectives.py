"""Objectives over many tasks: patterns, families, drop lists, and limits on single tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mixscale.cli.main import cli
from mixscale.contracts.errors import UserError
from mixscale.contracts.experiment import Objective
from mixscale.contracts.fit_record import FitRecord, ReadResult, read_fit
from mixscale.fit.fit_tables import fit_tables
from mixscale.fit.inputs.options import Options, TableSettings
from mixscale.fit.metrics.weights import objective_weights
from mixscale.fit.scaling.stored_fit import mixture_at
from tests.fit.metrics.test_accuracy import DOMAINS, predictions, shares_of, write

TASKS = ("minerva_algebra", "minerva_geometry", "gsm8k", "humaneval", "c4")


def weights(**objective: Any) -> dict[str, float]:
    found = objective_weights(Objective(**objective), TASKS)
    return {name: w for name, w in zip(TASKS, found.tolist(), strict=True) if w}


FAMILIES = {"math": ["minerva_*", "gsm8k"], "code": ["humaneval"]}


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({}, dict.fromkeys(TASKS, 0.2)),
        ({"weights": {"c4": 3, "gsm8k": 1}}, {"c4": 0.75, "gsm8k": 0.25}),
        ({"weights": {"minerva_*": 1}}, {"minerva_algebra": 0.5, "minerva_geometry": 0.5}),
        # An exact name counts before a pattern, wherever it stands.
        (
            {"weights": {"minerva_*": 1, "minerva_geometry": 3}},
            {"minerva_algebra": 0.25, "minerva_geometry": 0.75},
        ),
        (
            {"families": FAMILIES},
            {"minerva_algebra": 1 / 6, "minerva_geometry": 1 / 6, "gsm8k": 1 / 6, "humaneval": 0.5},
        ),
        (
            {"families": FAMILIES, "weights": {"math": 3, "code": 1}},
            {"minerva_algebra": 0.25, "minerva_geometry": 0.25, "gsm8k": 0.25, "humaneval": 0.25},
        ),
        (
            {"families": FAMILIES, "weights": {"gsm8k": 2, "minerva_*": 1}},
            {"minerva_algebra": 1 / 8, "minerva_geometry": 1 / 8, "gsm8k": 1 / 4, "humaneval": 0.5},
        ),
    ],
)
def test_weights(objective: dict[str, Any], expected: dict[str, float]) -> None:
    assert weights(**objective) == pytest.approx(expected)


def test_patterns_may_say_which_metric() -> None:
    results = [
        ReadResult(column="arc_acc", metric="accuracy", unit="fraction", higher_is_better=True),
        ReadResult(column="arc_bpb", metric="bits_per_byte", unit="bits per byte"),
    ]
    names = ("accuracy:arc", "bits_per_byte:arc")
    for pattern, expected in (("acc:*", [1, 0]), ("bpb:arc", [0, 1]), ("arc_b*", [0, 1])):
        found = objective_weights(Objective(weights={pattern: 1.0}), names, results)
        assert found.tolist() == expected


@pytest.mark.parametrize(
    "objective",
    [{"weights": {"mbpp": 1}}, {"families": {"code": ["mbpp*"]}}],
)
def test_what_was_not_measured_is_refused(objective: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"mbpp.* was not evaluated; measured are minerva_algebra"):
        weights(**objective)


# Tasks that want one domain each, so that every weight shows in the optimum.
RNG = np.random.default_rng(2)
MIXTURES = RNG.dirichlet(np.ones(4), 40)
COLUMNS = {
    f"bpb_{name}": (0.6 + 0.5 * (MIXTURES[:, i] + 0.02) ** -0.3).tolist()
    for i, name in enumerate(("math_a", "math_b", "code", "wiki"))
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("runs") / "runs.csv", shares_of(MIXTURES) | COLUMNS)


def fit(table: Path, tmp_path: Path, **options: Any) -> FitRecord:
    folder = fit_tables(
        table, table, law="joint", out=tmp_path, bootstrap=30, options=Options(**options)
    )
    return read_fit(folder)


def test_families_weigh_alike_however_many_tasks_they_have(table: Path, tmp_path: Path) -> None:
    plain = fit(table, tmp_path, drop=["wiki"]).mixtures[0].proportions
    record = fit(table, tmp_path, family=["math=math_*", "code=code"])
    assert record.validation == ("math_a", "math_b", "code", "wiki")
    assert "Not part of the objective: wiki." in record.warnings
    of_families = record.mixtures[0].proportions
    assert plain["web"] == pytest.approx(plain["books"], abs=0.02)
    # Two domains that halve a weight get less each than the one that has it alone.
    assert of_families["books"] > plain["books"] + 0.05
    assert of_families["web"] < plain["web"] - 0.02
    assert of_families["wiki"] < 0.03


def test_families_in_a_file_are_those_of_options(table: Path, tmp_path: Path) -> None:
    file = tmp_path / "families.yaml"
    file.write_text("math: ['math_*']\ncode: [code]\n")
    by_file = fit(table, tmp_path / "a", families=file)
    by_option = fit(table, tmp_path / "b", family=["math=math_*", "code=code"])
    settings = TableSettings(objective=Objective(families={"math": ("math_*",), "code": ("code",)}))
    folder = fit_tables(
        table, table, law="joint", out=tmp_path / "c", bootstrap=30, settings=settings
    )
    for record in (by_option, read_fit(folder)):
        assert record.mixtures[0].proportions == by_file.mixtures[0].proportions
        assert record.objective.families == by_file.objective.families
    file.write_text("math: 3\n")
    with pytest.raises(UserError, match=r"families.yaml.*math"):
        fit(table, tmp_path, families=file)


def test_weights_of_some_leave_the_others_to_be_predicted(table: Path, tmp_path: Path) -> None:
    record = fit(table, tmp_path, weight=["code=1"])
    assert record.validation == ("math_a", "math_b", "code", "wiki")
    assert record.mixtures[0].proportions["books"] > 0.9


def test_a_pattern_for_all_brings_no_other_metric_in(tmp_path: Path) -> None:
    scores = {"acc_arc": (0.4 + 0.1 * MIXTURES[:, 0]).tolist(), "acc_code": [0.3, 0.4] * 20}
    path = write(tmp_path / "runs.csv", shares_of(MIXTURES) | COLUMNS | scores)
    record = fit(path, tmp_path, no_worse=["*=0.5"], weight=["code=1"])
    assert record.validation == ("math_a", "math_b", "code", "wiki")


def test_what_is_dropped_is_not_fitted(table: Path, tmp_path: Path) -> None:
    record = fit(table, tmp_path, drop=["math_*"])
    assert record.validation == ("code", "wiki")
    assert record.reading is not None
    assert record.reading.ignored["bpb_math_a"] == "dropped"


@pytest.mark.parametrize("law", ["joint", "separable", "loglinear", "quadratic", "linear"])
def test_no_task_gets_worse_than_is_allowed(table: Path, tmp_path: Path, law: str) -> None:
    def run(out: str, **more: Any) -> tuple[FitRecord, dict[str, float], dict[str, float]]:
        wanted = tmp_path / f"{out}.csv"
        write(wanted, shares_of(np.full((1, 4), 0.25)))
        options = Options(weight=["code=1"], **more)
        settings: dict[str, Any] = {"law": law, "bootstrap": 20, "out": tmp_path / out}
        folder = fit_tables(table, table, options=options, **settings)
        record = read_fit(folder)
        rows = [record.mixtures[0].proportions, record.mixtures[0].recommended or {}]
        shares = np.array([[row[name] for name in DOMAINS] for row in rows])
        write(wanted, shares_of(np.vstack([np.full(4, 0.25), shares])))
        folder = fit_tables(table, table, options=options, predict=wanted, **settings)
        before, best, advised = predictions(folder)
        changes = [
            {name: row[name] - before[name] for name in COLUMNS if name in row}
            for row in (best, advised)
        ]
        return record, changes[0], changes[1]

    free, worse, _ = run("free", no_worse=["*=5"])
    assert worse["bpb_wiki"] > 0.06
    assert free.held_back_by == {}
    limited, best, advised = run("limited", no_worse=["*=0.05"])
    for change in (best, advised):
        assert max(change.values()) <= 0.05 + 1e-5
    assert best["bpb_code"] < -0.02
    assert limited.held_back_by
    assert limited.mixtures[0].proportions["books"] < free.mixtures[0].proportions["books"]
    assert any("held back by what may not get worse" in text for text in limited.warnings)


def test_a_limit_in_the_unit_of_an_accuracy(tmp_path: Path) -> None:
    accuracy = {
        f"acc_{name}": (0.9 - 0.3 * np.exp(-6 * MIXTURES[:, i])).tolist()
        for i, name in enumerate(("a", "b", "c", "d"))
    }
    path = write(tmp_path / "runs.csv", shares_of(MIXTURES) | accuracy)
    wanted = tmp_path / "wanted.csv"
    records = []
    for limit in ("1", "0.02"):
        options = Options(weight=["acc_a=1"], no_worse=[f"acc_*={limit}"])
        write(wanted, shares_of(np.full((1, 4), 0.25)))
        folder = fit_tables(
            path, path, law="joint", out=tmp_path / limit, bootstrap=20, options=options
        )
        records.append(read_fit(folder).mixtures[0])
    free, limited = records
    assert limited.proportions["web"] < free.proportions["web"] - 0.05
    truth = lambda share: 0.9 - 0.3 * np.exp(-6 * share)  # noqa: E731
    for mixture in (limited.proportions, limited.recommended or {}):
        for name in DOMAINS[1:]:
            assert truth(mixture[name]) > truth(0.25) - 0.03
        assert mixture["web"] > 0.27


def test_the_command_takes_families_limits_and_drop_lists(table: Path, tmp_path: Path) -> None:
    command = ["fit", "--table", str(table), "--law", "joint", "--bootstrap", "20",
               "--out", str(tmp_path), "--family", "math=math_*", "--family", "code=code",
               "--no-worse", "0.1", "--drop", "wiki", "--json"]  # fmt: skip
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    record = json.loads(result.output)
    assert record["objective"]["families"] == {"math": ["math_*"], "code": ["code"]}
    assert record["objective"]["no_worse"] == {"*": 0.1}
    assert record["objective"]["drop"] == ["wiki"]


def test_results_of_several_units_need_weights(tmp_path: Path) -> None:
    accuracy = {"acc_arc": (0.4 + 0.1 * MIXTURES[:, 0]).tolist()}
    path = write(tmp_path / "runs.csv", shares_of(MIXTURES) | COLUMNS | accuracy)
    with pytest.raises(UserError, match=r"several units: .*--objective.*--weight"):
        fit(path, tmp_path, family=["all=acc:*,bpb:code"])
    record = fit(path, tmp_path, weight=["acc:arc=1", "bpb:code=0.2"])
    assert record.validation == ("code", "arc")
    assert record.aim is not None
    assert not record.aim.higher_is_better


def test_a_stored_fit_keeps_the_limits_at_other_budgets(tmp_path: Path) -> None:
    tokens = np.repeat([1e9, 4e9], len(MIXTURES))
    both = np.vstack([MIXTURES, MIXTURES])
    columns = {
        name: (np.tile(values, 2) + 0.3 * (tokens / 1e9) ** -0.3).tolist()
        for name, values in COLUMNS.items()
    }
    path = write(tmp_path / "runs.csv", shares_of(both) | {"tokens": tokens.tolist()} | columns)
    options = Options(weight=["code=1"], no_worse=["*=0.05"], targets="64B")
    folder = fit_tables(
        path, path, law="joint", out=tmp_path / "fits", bootstrap=20, options=options
    )
    record = read_fit(folder)
    (fresh,) = (m for m in record.mixtures if m.kind == "projected")
    again = mixture_at(record.model_copy(update={"mixtures": record.mixtures[:-1]}), 64 * 10**9)
    # A record holds no redrawn experiments, so what leans on them may differ a little.
    assert again.proportions == pytest.approx(fresh.proportions, abs=1e-4)
    for mixture in (fresh, again):
        for shares in (mixture.proportions, mixture.recommended or {}):
            row = np.array([shares[name] for name in DOMAINS])
            worse = 0.5 * ((row + 0.02) ** -0.3 - (0.25 + 0.02) ** -0.3)
            assert worse.max() < 0.056
