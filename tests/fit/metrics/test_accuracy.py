"""Accuracies are maximised, on a scale that keeps every prediction between 0 and 1."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.accuracy import SHAPES, measured, truth
from mixscale.cli.main import cli
from mixscale.contracts.errors import UserError
from mixscale.contracts.fit_record import read_fit
from mixscale.fit.fit_tables import fit_tables
from mixscale.fit.inputs.options import Options
from mixscale.fit.metrics.scale import ResultScale

DOMAINS = ("web", "code", "books", "wiki")
RUNS = 36


def write(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def shares_of(mixtures: np.ndarray) -> dict[str, list[float]]:
    return {f"w_{name}": mixtures[:, i].tolist() for i, name in enumerate(DOMAINS)}


def predictions(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "predictions.json").read_text())


@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "near chance"])
def test_the_right_mixture_is_recommended_and_nothing_leaves_the_bounds(
    tmp_path: Path, shape: str
) -> None:
    rng = np.random.default_rng(3)
    tasks = [truth(rng, len(DOMAINS), **SHAPES[shape]) for _ in range(2)]
    mixtures = rng.dirichlet(np.ones(len(DOMAINS)), RUNS)
    accuracies = {f"acc_t{i}": measured(rng, t.accuracy(mixtures)) for i, t in enumerate(tasks)}
    table = write(
        tmp_path / "runs.csv",
        shares_of(mixtures) | {name: values.tolist() for name, values in accuracies.items()},
    )
    corners = np.vstack([np.eye(len(DOMAINS)), rng.dirichlet(np.full(len(DOMAINS), 0.3), 20)])
    wanted = write(tmp_path / "wanted.csv", shares_of(corners))
    folder = fit_tables(table, table, predict=wanted, out=tmp_path / "fits", bootstrap=60)
    record = read_fit(folder)
    assert record.aim is not None
    assert record.aim.higher_is_better
    for row in predictions(folder):
        for name in ("objective", *accuracies):
            assert 0 <= row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] <= 1

    def true(shares: np.ndarray) -> np.ndarray:
        return np.mean([t.accuracy(shares) for t in tasks], axis=0)

    candidates = 0.96 * rng.dirichlet(np.ones(len(DOMAINS)), 20_000) + 0.01
    values = true(candidates)
    (mixture,) = record.mixtures
    best = np.array([[mixture.proportions[name] for name in DOMAINS]])
    advised = np.array([[(mixture.recommended or {})[name] for name in DOMAINS]])
    uniform = float(true(np.full((1, len(DOMAINS)), 0.25))[0])
    reach = float(values.max()) - uniform
    assert record.recommended.action == "change"
    assert float(true(advised)[0]) - uniform > 0.85 * reach
    assert float(true(best)[0]) - uniform > 0.85 * reach
    # The predicted accuracy is one, in its own direction.
    assert mixture.predicted_objective == pytest.approx(float(true(best)[0]), abs=0.05)
    assert mixture.predicted_objective is not None
    assert record.gains[0].gain == pytest.approx(mixture.predicted_objective - uniform, abs=0.05)


def test_percent_and_fractions_are_one_fit_in_other_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    task = truth(rng, len(DOMAINS), **SHAPES["middle"])
    mixtures = rng.dirichlet(np.ones(len(DOMAINS)), RUNS)
    seen = measured(rng, task.accuracy(mixtures))
    records = []
    for name, values in (("fraction", seen), ("percent", 100 * seen)):
        table = write(
            tmp_path / f"{name}.csv",
            shares_of(mixtures) | {"hellaswag_acc": values.round(6).tolist()},
        )
        records.append(read_fit(fit_tables(table, table, out=tmp_path, bootstrap=20, law="joint")))
    fraction, percent = (record.mixtures[0] for record in records)
    assert percent.proportions == pytest.approx(fraction.proportions, abs=1e-3)
    assert percent.predicted_objective == pytest.approx(
        100 * (fraction.predicted_objective or 0), rel=1e-3
    )
    assert [record.results["hellaswag"].unit for record in records] == ["fraction", "percent"]


def test_accuracies_of_all_items_and_of_none_are_fitted(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    task = truth(rng, len(DOMAINS), steep=9.0, at=0.5, chance=0.0, top=1.0)
    mixtures = rng.dirichlet(np.ones(len(DOMAINS)), RUNS)
    seen = measured(rng, task.accuracy(mixtures), items=20)
    seen[0], seen[1] = 0.0, 1.0
    table = write(tmp_path / "runs.csv", shares_of(mixtures) | {"acc:t": seen.tolist()})
    wanted = write(tmp_path / "wanted.csv", shares_of(mixtures))
    folder = fit_tables(
        table, table, law="joint", predict=wanted, out=tmp_path / "fits", bootstrap=20
    )
    predicted = np.array([row["acc:t"] for row in predictions(folder)])
    assert ((predicted >= 0) & (predicted <= 1)).all()
    assert np.corrcoef(predicted, task.accuracy(mixtures))[0, 1] > 0.9


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_a_result_at_its_bound_counts_as_half_the_nearest_step(edge: float) -> None:
    scale = ResultScale(higher_is_better=True, bounds=(0.0, 1.0))
    values = np.array([edge, 0.02, 0.98])
    back = scale.measured(scale.fitted(values))
    assert back[0] == pytest.approx(abs(edge - 0.01))
    np.testing.assert_allclose(back[1:], values[1:])


@pytest.mark.parametrize(
    ("columns", "options", "metric", "higher"),
    [
        ({"acc_norm:arc": 0.4}, {}, "accuracy", True),
        ({"arc_acc": 0.4, "arc_acc_norm": 0.5}, {}, "accuracy", True),
        ({"gsm8k_exact_match": 41.0}, {}, "accuracy", True),
        ({"mmlu": 0.4}, {"higher_is_better": ["mm*"]}, "accuracy", True),
        ({"mmlu": 62.5}, {"higher_is_better": ["mm*"]}, "accuracy", True),
        ({"rating": 7.0}, {"higher_is_better": ["rating"]}, "score", True),
        ({"reward": -1.0}, {"higher_is_better": ["reward"]}, "score", True),
        ({"bits": 0.6}, {"lower_is_better": ["bits"]}, "loss", False),
        ({"score_toxic": 0.6}, {"lower_is_better": ["toxic"]}, "cost", False),
        ({"bpb_arc": 0.6}, {}, "bits_per_byte", False),
    ],
)
def test_unit_and_direction_of_columns(
    tmp_path: Path, columns: dict[str, float], options: dict[str, Any], metric: str, higher: bool
) -> None:
    rng = np.random.default_rng(1)
    mixtures = rng.dirichlet(np.ones(len(DOMAINS)), 24)
    good = mixtures @ np.array([0.02, 0.01, -0.01, 0.0])
    values = {
        name: (middle + (1 if higher else -1) * abs(middle) * 5 * good).tolist()
        for name, middle in columns.items()
    }
    table = write(tmp_path / "runs.csv", shares_of(mixtures) | values)
    folder = fit_tables(
        table, table, law="linear", out=tmp_path, bootstrap=0, options=Options(**options)
    )
    record = read_fit(folder)
    (result,) = record.results.values()
    assert (result.metric, result.higher_is_better) == (metric, higher)
    assert record.mixtures[0].proportions["web"] > 0.8
    assert record.mixtures[0].predicted_objective == pytest.approx(
        list(columns.values())[-1], rel=0.12
    )
    if len(columns) == 2:
        assert result.column == "arc_acc_norm"


@pytest.mark.parametrize("values", [("hellaswag", 0.45), ("score_x", 7.0), ("mmlu", 45.0)])
def test_a_direction_that_cannot_be_known_is_asked_for(
    tmp_path: Path, values: tuple[str, float]
) -> None:
    name, middle = values
    mixtures = np.random.default_rng(1).dirichlet(np.ones(len(DOMAINS)), 12)
    table = write(
        tmp_path / "runs.csv",
        shares_of(mixtures) | {name: (middle * (1 + 0.1 * mixtures[:, 0])).tolist()},
    )
    with pytest.raises(UserError, match=rf"{name}.*--higher-is-better.*--lower-is-better"):
        fit_tables(table, table, law="linear", out=tmp_path, bootstrap=0)


def test_unmarked_accuracies_beside_losses_are_asked_for(tmp_path: Path) -> None:
    mixtures = np.random.default_rng(1).dirichlet(np.ones(len(DOMAINS)), 12)
    table = write(
        tmp_path / "runs.csv",
        shares_of(mixtures)
        | {
            "c4": (3 + mixtures[:, 0]).tolist(),
            "hellaswag": (0.4 + 0.1 * mixtures[:, 0]).tolist(),
        },
    )
    with pytest.raises(UserError, match=r"hellaswag: the name does not say"):
        fit_tables(table, table, law="linear", out=tmp_path, bootstrap=0)
    folder = fit_tables(
        table, table, law="linear", out=tmp_path, bootstrap=0,
        options=Options(higher_is_better=["hellaswag"], objective="accuracy"),
    )  # fmt: skip
    assert read_fit(folder).validation == ("hellaswag",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"higher_is_better": ["wab"]}, "--higher-is-better wab: no such result"),
        ({"higher_is_better": ["acc_x"], "lower_is_better": ["acc_*"]}, "both name it"),
        ({"drop": ["*"]}, "--drop leaves no result"),
        ({"objective": "perplexity"}, "objective.metric perplexity: no such result"),
    ],
)
def test_options_that_contradict_the_table(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    mixtures = np.random.default_rng(1).dirichlet(np.ones(len(DOMAINS)), 12)
    table = write(
        tmp_path / "runs.csv",
        shares_of(mixtures) | {"acc_x": (0.4 + 0.1 * mixtures[:, 0]).tolist()},
    )
    with pytest.raises(UserError, match=message):
        fit_tables(table, table, law="linear", out=tmp_path, options=Options(**options))


def test_accuracies_that_are_none_are_refused(tmp_path: Path) -> None:
    mixtures = np.random.default_rng(1).dirichlet(np.ones(len(DOMAINS)), 12)
    for column in (-0.1 - mixtures[:, 0], 150 + mixtures[:, 0]):
        table = write(tmp_path / "runs.csv", shares_of(mixtures) | {"acc_x": column.tolist()})
        with pytest.raises(UserError, match=r"acc_x holds .*no accuracy"):
            fit_tables(table, table, law="linear", out=tmp_path)


def test_terminal_and_page_say_which_way_is_better(tmp_path: Path, shared: Path) -> None:
    case = shared / "trials" / "fit" / "acc"
    command = ["fit", "--mixtures", str(case / "m.csv"), "--losses", str(case / "l.csv"),
               "--law", "joint", "--bootstrap", "40", "--details",
               "--out", str(tmp_path)]  # fmt: skip
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert ": accuracy higher by 0.0" in text.partition("Rests on")[0]
    assert "read as accuracy, more is better: hellaswag, humaneval" in text
    assert "gain of the best mixture over the uniform one: +0.0" in text
    assert "accuracy, more is better" in text
    assert "higher objective than the current mixture" in text
    page = next(tmp_path.glob("*/report.html")).read_text()
    assert "higher than current = uniform by" in page
    assert "accuracy, fraction" in page
    assert "lower than" not in page


def test_runs_around_a_base_are_fitted_to_accuracies(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = np.full(3, 1e6)
    plan = [base] + [base * np.where(np.arange(3) == i, f, 1) for i in range(3) for f in (3, 1 / 3)]
    tokens = np.repeat(np.array(plan), 3, axis=0)
    loss = 1 + (tokens / 3e6 + 0.05) ** -0.35 @ np.array([1.2, 0.8, 0.3]) / 3
    # Above and below a half, so that the log odds of the base runs have both signs.
    columns = {
        f"acc_{name}": 0.25 + 0.7 / (1 + np.exp(3 * (loss - middle))) + 0.002 * rng.normal(size=21)
        for name, middle in (("a", 2.8), ("b", 1.9))
    }
    table = write(
        tmp_path / "runs.csv",
        {f"tokens_{name}": tokens[:, i].tolist() for i, name in enumerate(DOMAINS[:3])}
        | {"seed": [1, 2, 3] * 7}
        | {name: values.tolist() for name, values in columns.items()},
    )
    folder = fit_tables(table, table, law="ddo", predict=table, out=tmp_path / "fits", bootstrap=30)
    record = read_fit(folder)
    proportions = record.mixtures[0].proportions
    assert proportions["web"] > proportions["code"] > proportions["books"]
    assert record.scales[0].base_objective == pytest.approx(
        np.mean([values[:3].mean() for values in columns.values()])
    )
    for row, *seen in zip(predictions(folder), *columns.values(), strict=True):
        for name, value in zip(columns, seen, strict=True):
            assert row[name] == pytest.approx(value, abs=0.02)
            assert 0 <= row[name] <= 1
