"""Fits from Python: the same numbers as the command line, from tables of any kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow.csv
import pytest
from click.testing import CliRunner

import mixscale as ms
from mixscale.cli.main import cli
from mixscale.pages.rounding import percent

ASKED: dict[str, Any] = {
    "law": "joint", "run_tokens": "1B", "targets": ["10B", 1e11], "bootstrap": 30, "seed": 3,
    "constraints": {"floor": 0.02, "max_epochs": 4},
    "available_tokens": {"web": "100B", "code": "9B", "books": 3e9},
}  # fmt: skip


@pytest.fixture(scope="module")
def fit(tables: Path) -> ms.Fit:
    return ms.fit_tables(tables / "mixtures.csv", tables / "losses.csv", **ASKED)


def test_it_is_the_fit_of_the_command_line(fit: ms.Fit, tables: Path, tmp_path: Path) -> None:
    (tmp_path / "ask.yaml").write_text("constraints: {floor: 0.02, max_epochs: 4}\n")
    command = ["fit", "--mixtures", tables / "mixtures.csv", "--losses", tables / "losses.csv"]
    command += ["--law", "joint", "--tokens", "1B", "--targets", "10B,100B", "--bootstrap", "30"]
    command += ["--seed", "3", "--available", "web=100B", "--available", "code=9B"]
    command += ["--available", "books=3B", "--settings", tmp_path / "ask.yaml"]
    command += ["--out", tmp_path, "--json"]
    done = CliRunner().invoke(cli, list(map(str, command)), standalone_mode=False)
    assert done.exception is None
    theirs, ours = json.loads(done.stdout), fit.record.model_dump(mode="json")
    for key in ("mixtures", "scales", "recommended", "gains", "warnings", "reach"):
        assert ours[key] == theirs[key], key


@pytest.mark.parametrize("kind", ["arrow", "pandas", "polars", "mapping", "rows", "mixed"])
def test_tables_of_every_kind_give_the_same_fit(fit: ms.Fit, tables: Path, kind: str) -> None:
    paths = (tables / "mixtures.csv", tables / "losses.csv")
    arrow = [pyarrow.csv.read_csv(path) for path in paths]
    given = {
        "arrow": arrow,
        "pandas": [pandas.read_csv(path) for path in paths],
        "polars": [polars.read_csv(path) for path in paths],
        "mapping": [table.to_pydict() for table in arrow],
        "rows": [table.to_pylist() for table in arrow],
        "mixed": [pandas.read_csv(paths[0]).set_index("run"), str(paths[1])],
    }
    mixtures, losses = given[kind]
    assert ms.fit_tables(mixtures, losses, **ASKED).record == fit.record


def test_columns_of_any_name_can_be_pointed_at(fit: ms.Fit, tables: Path) -> None:
    mixtures, losses = (polars.read_csv(tables / f"{n}.csv") for n in ("mixtures", "losses"))
    mixtures = mixtures.rename(lambda name: f"mix.{name}" if name != "run" else "trial")
    losses = losses.rename({"run": "trial"}).with_columns(other=polars.lit(3.0))
    columns = {"domains": ["mix.*"], "results": ["web", "code", "books"], "key": "trial"}
    asked = {name: ASKED[name] for name in ("law", "run_tokens", "bootstrap", "seed")}
    found = ms.fit_tables(mixtures, losses, **asked, **columns)
    assert found.record.domains == ("mix.web", "mix.code", "mix.books")
    assert found.record.validation == ("web", "code", "books")
    plain = ms.fit_tables(tables / "mixtures.csv", tables / "losses.csv", **asked)
    assert list(found.optimum().proportions.values()) == pytest.approx(
        list(plain.optimum().proportions.values()), abs=1e-9
    )


def test_optimum_at_a_budget_that_was_asked_and_at_another(fit: ms.Fit) -> None:
    asked = next(m for m in fit.record.mixtures if m.token_budget == 10**11)
    assert fit.optimum("100B") == asked
    other = fit.optimum("50B")
    assert other.token_budget == 50 * 10**9
    assert sum(other.proportions.values()) == pytest.approx(1, abs=1e-9)
    # Four epochs of 3B and 9B tokens.
    assert other.proportions["books"] <= 4 * 3 / 50 + 1e-6
    assert other.proportions["code"] <= 4 * 9 / 50 + 1e-6
    assert fit.optimum().token_budget == 10**9


def test_predictions_are_close_to_what_was_measured(fit: ms.Fit, tables: Path) -> None:
    predicted = fit.predict(tables / "mixtures.csv").rows()
    measured = pyarrow.csv.read_csv(tables / "losses.csv").to_pylist()
    assert [row["run"] for row in predicted] == [row["run"] for row in measured]
    for ours, theirs in zip(predicted, measured, strict=True):
        losses = [ours[f"loss_{domain}"] for domain in ("web", "code", "books")]
        assert losses == pytest.approx([theirs[d] for d in ("web", "code", "books")], rel=0.05)
        assert ours["objective"] == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_one_mixture_is_predicted_at_a_budget(fit: ms.Fit) -> None:
    mixture = {"books": 0.2, "web": 0.5, "code": 0.3}
    small, large = (fit.predict(mixture, tokens).rows() for tokens in ("1B", "100B"))
    assert len(small) == len(large) == 1
    assert fit.predict(mixture).rows() == small
    assert large[0]["objective"] < small[0]["objective"]


def test_intervals_and_mixtures_are_tables(fit: ms.Fit) -> None:
    intervals = fit.intervals.rows()
    assert len(intervals) == 3 * 3
    assert all(row["low"] <= row["high"] for row in intervals)
    for budget in (10**9, 10**10, 10**11):
        shares = [row["share"] for row in intervals if row["token_budget"] == budget]
        assert sum(shares) == pytest.approx(1)
    mixtures = fit.mixtures.rows()
    assert [row["mixture"] for row in mixtures] == ["optimum", "recommended"] * 3
    for row in mixtures:
        assert row["w_web"] + row["w_code"] + row["w_books"] == pytest.approx(1, abs=2e-6)


def test_it_shows_itself(fit: ms.Fit) -> None:
    text, page = fit.summary(), fit._repr_html_()
    for shown in (text, page):
        for word in ("web", "100B", "books", "recommended"):
            assert word in shown
    assert fit.recommendation.action in repr(fit)
    found = fit.record.mixtures[0]
    assert found.intervals is not None
    share = percent(found.proportions["code"], found.intervals["code"])
    assert re.search(rf"code +│ +{re.escape(share)}", fit.summary(details=True))
    assert "Rests on " in text


def test_it_draws_itself(fit: ms.Fit) -> None:
    figure = fit.plot()
    assert [axes.get_title() for axes in figure.axes] == sorted(
        ["web", "code", "books"], key=lambda d: -fit.record.mixtures[-1].proportions[d]
    )
    with pytest.raises(ms.UserError, match="this fit has not the numbers for 'effects'"):
        fit.plot("effects")


def test_saved_and_loaded_it_is_the_same(fit: ms.Fit, tmp_path: Path) -> None:
    folder = fit.save(tmp_path / "saved")
    loaded = ms.load_fit(folder)
    assert loaded.record == fit.record
    assert loaded.optimum("50B") == fit.optimum("50B")
    assert (folder / "report.html").is_file()
    with pytest.raises(ms.UserError, match="does not hold the tables"):
        loaded.predict({"web": 0.5, "code": 0.3, "books": 0.2})


@pytest.mark.parametrize("saved", [False, True])
def test_apply_writes_its_proportions(
    fit: ms.Fit, tables: Path, tmp_path: Path, saved: bool
) -> None:
    source = fit.save(tmp_path / "saved") if saved else fit
    out = tmp_path / "final.yaml"
    before = (tables / "run.yaml").read_text()
    result = ms.apply(source, "50B", tables / "run.yaml", output=out, estimate="optimum")
    assert result.proportions == fit.optimum("50B").proportions
    written = [float(share) for share in re.findall(r"proportion: ([0-9.]+)", out.read_text())]
    assert written == pytest.approx([result.proportions[d] for d in ("web", "code", "books")])
    assert (tables / "run.yaml").read_text() == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"law": "jiont"}, "Did you mean 'joint'"),
        ({"targets": ["10X"]}, "targets: '10X' is not a number of tokens"),
        ({"run_tokens": None}, "does not tell the runs' tokens"),
        ({"constraints": {"flor": 0.1}}, "fit_tables: constraints.flor: unknown key"),
        (
            {"constraints": {"floor": 0.4}},
            "web floor 0.4, code floor 0.4, books floor 0.4 conflict",
        ),
        ({"objective": "loudness"}, "fit_tables: objective.metric"),
        ({"objective": "accuracy"}, "objective.metric accuracy: no such result"),
        ({"available_tokens": {"news": "1B"}}, r"available_tokens: \['news'\] are not training"),
        ({"current": {"web": 0.5}}, "shares sum to 0.5"),
    ],
)
def test_a_mistake_is_a_user_error(tables: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ms.UserError, match=message):
        ms.fit_tables(tables / "mixtures.csv", tables / "losses.csv", **ASKED | changed)


def test_questions_that_a_fit_cannot_answer(fit: ms.Fit, tables: Path) -> None:
    with pytest.raises(ms.UserError, match="tokens: '300X' is not a number of tokens"):
        fit.optimum("300X")
    with pytest.raises(ms.UserError, match=r"domains differ from the fitted ones: \['news'\]"):
        fit.predict({"web": 0.5, "code": 0.3, "books": 0.1, "news": 0.1})
    with pytest.raises(ms.UserError, match="unknown kind 'shares'"):
        fit.plot("shares")  # pyright: ignore[reportArgumentType]
    shares_only = ms.fit_tables(
        tables / "mixtures.csv", tables / "losses.csv", law="linear", bootstrap=0
    )
    assert shares_only.intervals.rows()[0]["low"] is None
    with pytest.raises(ms.UserError, match="do not tell the runs' tokens"):
        shares_only.optimum("10B")
