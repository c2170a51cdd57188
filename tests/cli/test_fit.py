"""Fits of tables from the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from mixscale.cli.main import cli
from mixscale.contracts.errors import UserError

DOMAINS = ("web", "code", "books")
RUN = """\
train_loader:
  dataset:
    streams:
      web: {local: web, proportion: 0.5}
      code: {local: code, proportion: 0.25}
      books: {local: books, proportion: 0.25}
"""


def run_command(*arguments: object) -> Result:
    """Run a command as `main` does, without leaving this process."""
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def answer(*arguments: object) -> dict:
    result = run_command("fit", *arguments, "--json")
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Olmix's layout: `ratios.csv` with `metrics.csv`; web helps most, code helps itself alone."""
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(3), 24)
    effective = shares @ np.array([[1.0, 0.3, 0.5], [0.05, 1.0, 0.05], [0.2, 0.1, 1.0]])
    losses = 2 + 0.5 * effective**-0.4 + 0.003 * rng.normal(size=(24, 3))
    ratios, metrics = tmp_path / "ratios.csv", tmp_path / "metrics.csv"
    for path, values in ((ratios, shares), (metrics, losses)):
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["run", "name", "index", *DOMAINS])
            for i, row in enumerate(values):
                writer.writerow([f"r{i}", f"swarm-{i}", i, *row.tolist()])
    return ratios, metrics


def given(tables: tuple[Path, Path], *more: object) -> list[object]:
    return ["--mixtures", tables[0], "--losses", tables[1], "--law", "joint", *more]


def test_options_ask_what_an_experiment_would(tables: tuple[Path, Path], tmp_path: Path) -> None:
    asked = ["--objective", "perplexity", "--weight", "code=1", "--weight", "web=3"]
    asked += [
        "--floor",
        "0.05",
        "--floor",
        "books=0.1",
        "--ceiling",
        "web=0.7",
        "--fix",
        "code=0.2",
    ]
    asked += ["--tokens", "1B", "--targets", "10B,100B", "--max-epochs", "4", "--bootstrap", "30"]
    asked += ["--available", "web=100B", "--available", "code=9B", "--available", "books=3B"]
    asked += ["--prior", "natural", "--max-kl", "2", "--current", "web=0.5,code=0.2,books=0.3"]
    asked += ["--seed", "3", "--predict", tables[0], "--out", tmp_path / "o"]
    record = answer(*given(tables, *asked))
    folder = Path(record["folder"])
    assert folder.parent == tmp_path / "o"
    objective = {"metric": "perplexity", "weights": {"code": 1.0, "web": 3.0}}
    assert {key: value for key, value in record["objective"].items() if value} == objective
    assert record["bootstrap"] == 30
    budgets = [m["token_budget"] for m in record["mixtures"]]
    assert budgets == [10**9, 10**10, 10**11]
    for mixture in record["mixtures"]:
        shares = mixture["proportions"]
        assert shares["code"] == pytest.approx(0.2, abs=2e-6)
        assert shares["books"] >= 0.1 - 2e-6
        assert shares["web"] <= 0.7 + 2e-6
        assert mixture["recommended_gain"] is not None
        assert mixture["decision"]["decided_at"] == 10**9
    measured, *further = record["mixtures"]
    low, high = measured["objective_interval"]
    assert low <= measured["predicted_objective"] <= high
    assert [gain["over"] for gain in measured["gains"]] == ["current", "uniform", "natural"]
    # One scale does not tell how the objective goes on.
    assert all(mixture["predicted_objective"] is None for mixture in further)
    # 4 epochs of 3B books in 100B tokens.
    assert record["mixtures"][-1]["proportions"]["books"] <= 0.12 + 2e-6
    assert record["recommended"]["current"] == {"web": 0.5, "code": 0.2, "books": 0.3}
    for name in ("predictions", "mixtures"):
        rows = json.loads((folder / f"{name}.json").read_text())
        with (folder / f"{name}.csv").open() as stream:
            assert len(list(csv.DictReader(stream))) == len(rows)
    assert [row["run"] for row in json.loads((folder / "predictions.json").read_text())][:2] == [
        "r0",
        "r1",
    ]


def test_a_settings_file_takes_the_same(tables: tuple[Path, Path], tmp_path: Path) -> None:
    settings = tmp_path / "ask.yaml"
    settings.write_text(
        "constraints:\n  floor: 0.05\n  groups: {prose: {domains: [web, books], ceiling: 0.4}}\n"
        "run_tokens: 1B\ntargets: [10B]\ncurrent: {web: 0.2, code: 0.6, books: 0.2}\n"
    )
    record = answer(*given(tables, "--settings", settings, "--floor", "books=0.15"))
    last = record["mixtures"][-1]
    assert last["token_budget"] == 10**10
    assert last["proportions"]["web"] + last["proportions"]["books"] <= 0.4 + 2e-6
    assert last["proportions"]["books"] >= 0.15 - 2e-6


def test_columns_of_any_name_can_be_pointed_at(tables: tuple[Path, Path], tmp_path: Path) -> None:
    ratios, metrics = (path.read_text() for path in tables)
    new = [tmp_path / "new-ratios.csv", tmp_path / "new-metrics.csv"]
    new[0].write_text(ratios.replace("run,name,index,web,code,books", "trial,b,c,m-w,m-c,m-b"))
    new[1].write_text(metrics.replace("run,name,index", "trial,b,c"))
    columns = ["--domains", "m-*", "--key", "trial"]
    columns += ["--results", "web", "--results", "code", "--results", "books"]
    asked = ["--law", "joint", "--bootstrap", "5", "--seed", "1"]
    record = answer("--mixtures", new[0], "--losses", new[1], *columns, *asked)
    plain = answer(*given(tables, *asked[2:]))
    assert list(record["mixtures"][0]["proportions"]) == ["m-w", "m-c", "m-b"]
    assert record["validation"] == ["web", "code", "books"]
    for key in ("m-w", "m-c", "m-b"):
        theirs = {"m-w": "web", "m-c": "code", "m-b": "books"}[key]
        assert record["mixtures"][0]["proportions"][key] == pytest.approx(
            plain["mixtures"][0]["proportions"][theirs], abs=1e-9
        )


def test_the_same_seed_gives_the_same_answer(tables: tuple[Path, Path]) -> None:
    first, second, other = (
        answer(*given(tables, "--seed", seed, "--bootstrap", "20")) for seed in (1, 1, 2)
    )
    assert first == second
    assert first["mixtures"][0]["intervals"] != other["mixtures"][0]["intervals"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--targets", "10B"], "targets: .* does not tell the runs' tokens"),
        (["--targets", "10B", "--tokens", "1B", "--max-epochs", "2"], "max_epochs: how many"),
        (["--floor", "pages=0.1"], "floor: .*pages.* not training domains"),
        (["--floor", "lots"], "--floor: 'lots' cannot be read; write a share"),
        (["--fix", "web"], "--fix web: write NAME=VALUE"),
        (["--weight", "news=1"], "objective.weights: 'news' was not evaluated; measured are web"),
        (["--available", "news=1B"], r"available tokens: \['news'\] are not training domains"),
        (["--current", "natural"], "natural mixture: the available tokens of"),
        (["--current", "web=0.5,code=0.2"], "current.*shares sum to 0.7"),
        (["--floor", "0.4"], "web floor 0.4, code floor 0.4, books floor 0.4 conflict"),
        (["--law", "jiont"], "Did you mean 'joint'"),
    ],
)
def test_what_cannot_be_answered_is_one_message(
    tables: tuple[Path, Path], more: list[str], message: str
) -> None:
    result = run_command("fit", *given(tables, *more))
    assert isinstance(result.exception, UserError)
    with pytest.raises(UserError, match=message):
        raise result.exception


def test_options_for_tables_do_not_go_with_an_experiment() -> None:
    result = run_command("fit", "experiment.yaml", "--floor", "0.1", "--targets", "1B")
    assert isinstance(result.exception, click.UsageError)
    assert "--floor, --targets: only with --mixtures" in result.exception.message


def test_apply_writes_what_the_advice_says(tables: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(RUN)
    record = answer(*given(tables, "--tokens", "1B", "--targets", "10B"))
    assert record["recommended"]["action"] == "change"
    budget = ["--tokens", "5B", "--dry-run", "--json"]
    chosen, optimum = (
        json.loads(
            run_command("apply", record["folder"], run, *budget, "--estimate", estimate).stdout
        )
        for estimate in ("recommended", "optimum")
    )
    assert chosen["advice"].startswith("change. A step of")
    assert "a step of" in chosen["meaning"]
    assert optimum["meaning"] == "the optimum itself"
    assert sum(chosen["proportions"].values()) == 1.0
    uniform = 1 / 3
    # Between the current mixture and the optimum.
    assert (
        abs(chosen["proportions"]["code"] - uniform)
        <= abs(optimum["proportions"]["code"] - uniform) + 0.01
    )


def test_noise_alone_leaves_the_run_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), 24)
    for name, values in (("m", shares), ("l", 3 + 0.01 * rng.normal(size=(24, 3)))):
        lines = [",".join(map(str, row)) for row in [DOMAINS, *values.tolist()]]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    current = ["--current", "web=0.5,code=0.25,books=0.25"]
    found = ["--mixtures", tmp_path / "m.csv", "--losses", tmp_path / "l.csv", "--law", "joint"]
    record = answer(*found, *current)
    assert record["recommended"]["action"] == "keep what you have"
    run = tmp_path / "run.yaml"
    run.write_text(RUN)
    result = run_command("apply", record["folder"], run, "--tokens", "1B")
    said = " ".join(result.stdout.split())
    assert said.startswith(f"Wrote {run}: the current mixture kept for 1B tokens.")
    assert f"The old file is {run}.bak" in said
    text = run.read_text()
    for line in RUN.splitlines():
        assert line in text


def test_one_table_with_both(tables: tuple[Path, Path], tmp_path: Path) -> None:
    """Columns that no prefix marks are told apart by patterns."""
    columns = []
    for path, form in zip(tables, ("mix/{}", "{}"), strict=True):
        with path.open(newline="") as stream:
            head, *rows = csv.reader(stream)
        columns.append((["run", *(form.format(name) for name in DOMAINS)], rows))
        assert head[3:] == list(DOMAINS)
    both = tmp_path / "runs.csv"
    with both.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*columns[0][0], *DOMAINS])
        for left, right in zip(columns[0][1], columns[1][1], strict=True):
            writer.writerow([left[0], *left[3:], *right[3:]])
    asked = ["--domains", "mix/*", *(part for name in DOMAINS for part in ("--results", name))]
    record = answer("--table", both, *asked, "--law", "joint", "--bootstrap", "0")
    apart = answer(*given(tables, "--bootstrap", "0", "--seed", "1"))
    assert record["validation"] == list(DOMAINS)
    assert record["reading"]["key"] == "run"
    assert record["reading"]["ignored"] == {}
    for one, other in zip(record["mixtures"], apart["mixtures"], strict=True):
        shares = [one["proportions"][f"mix/{name}"] for name in DOMAINS]
        assert shares == pytest.approx([other["proportions"][name] for name in DOMAINS], abs=1e-5)
    result = run_command("fit", "--table", both, "--losses", both)
    assert isinstance(result.exception, click.UsageError)


def test_a_target_without_a_mixture_ends_with_an_error(
    tables: tuple[Path, Path], tmp_path: Path
) -> None:
    few = ["--available", "web=2B", "--available", "code=2B", "--available", "books=2B"]
    asked = ["--tokens", "1B", "--targets", "2B,100B", "--max-epochs", "4", *few]
    result = run_command("fit", *given(tables, "--bootstrap", 0, "--out", tmp_path / "f", *asked))
    assert isinstance(result.exception, UserError)
    assert "no mixture for 100B tokens" in str(result.exception)
    assert "raise max_epochs" in str(result.exception)
    # What could be answered is written, and shown.
    (record,) = (tmp_path / "f").glob("*/fit.json")
    stored = json.loads(record.read_text())
    assert [m["token_budget"] for m in stored["mixtures"]] == [10**9, 2 * 10**9]
    assert list(stored["unanswered"]) == [str(10**11)]
    assert "for 2B tokens" in result.stdout.partition("\n")[0]


def test_text_in_the_scale_is_refused_with_its_row(tmp_path: Path) -> None:
    mixtures, losses = tmp_path / "m.csv", tmp_path / "l.csv"
    mixtures.write_text("w_a,w_b,tokens,scale\n.5,.5,1B,1B\n.4,.6,1B,small\n.3,.7,1B,1B\n")
    losses.write_text("loss_a\n3\n3.1\n3.2\n")
    result = run_command("fit", "--mixtures", mixtures, "--losses", losses)
    assert isinstance(result.exception, UserError)
    assert "row 2: scale is 'small'" in str(result.exception)


def test_tokens_with_a_suffix_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [[float(x), 1 - float(x), "1B", "1B"] for x in rng.uniform(0.2, 0.8, 12)]
    mixtures, losses = tmp_path / "m.csv", tmp_path / "l.csv"
    for path, head, lines in (
        (mixtures, ["w_a", "w_b", "tokens", "scale"], rows),
        (losses, ["loss_a"], [[3 - row[0]] for row in rows]),  # type: ignore[operator]
    ):
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([head, *lines])
    found = answer("--mixtures", mixtures, "--losses", losses, "--bootstrap", 0, "--targets", "10B")
    assert [m["token_budget"] for m in found["mixtures"]] == [10**9, 10**10]
